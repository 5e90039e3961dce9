/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft by dlopen(RTLD_LOCAL): its thread-local data is found in a library that came late, goroutines
 * run, and those that compute are preempted. argv[1] is the library.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define WEFT_NO_ERRNO 1
#include <weft.h>

static struct {
    int (*run)(int (*app)(int argc, char **argv), int argc, char **argv);
    int (*go)(const struct weft_impl_site *site, void (*fn)(void), uint64_t a0, uint64_t a1,
              uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
    bool (*sleep)(weft_duration d);
} weft;

static atomic_bool stop;
static atomic_ulong counted[4];

static void hog(int i) {
    while (!stop) {
        for (int k = 0; k < 1000; k++)
            __asm__ volatile("" : "+r"(k));
        counted[i]++;
    }
}

static int app(int argc, char **argv) {
    static const struct weft_impl_site site = {.file = __FILE__, .func = "hog", .nargs = 1};
    (void)argc, (void)argv;
    for (uint64_t i = 0; i < 4; i++)
        if (weft.go(&site, (void (*)(void))hog, i, 0, 0, 0, 0, 0) != 0)
            return 2;
    for (int i = 0; i < 4;) {
        weft.sleep(WEFT_MILLISECOND);
        i += counted[i] > 0;
    }
    stop = true;
    return 42;
}

static void *look_up(void *library, const char *name) {
    void *at = dlsym(library, name);
    if (!at) {
        fprintf(stderr, "no %s\n", name);
        exit(1);
    }
    return at;
}

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        fprintf(stderr, "no library: %s\n", argc == 2 ? dlerror() : "name it");
        return 1;
    }
    *(void **)&weft.run = look_up(library, "weft_run");
    *(void **)&weft.go = look_up(library, "weft_impl_go");
    *(void **)&weft.sleep = look_up(library, "weft_sleep");
    int status = weft.run(app, argc, argv);
    if (status != 42)
        fprintf(stderr, "weft_run returned %d\n", status);
    return status == 42 ? 0 : 1;
}
