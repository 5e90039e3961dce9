/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sanitizers must be told: each switch of stacks (ASan, TSan), where goroutines' and the
 * runtime's memory is (LeakSanitizer's roots, ASan's poison in a recycled stack). All of it is
 * nothing in an ordinary build.
 */
#ifndef WEFTI_BASE_SANITIZE_H
#define WEFTI_BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define WEFTI_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFTI_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define WEFTI_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEFTI_TSAN 1
#endif
#endif

#include <stddef.h>

#ifdef WEFTI_ASAN
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old,
                                     size_t *size_old);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
void __lsan_register_root_region(const void *p, size_t size);
void __lsan_unregister_root_region(const void *p, size_t size);
#define wefti_root_region(start, size) __lsan_register_root_region((start), (size))
#define wefti_root_region_gone(start, size) __lsan_unregister_root_region((start), (size))
#define wefti_unpoison(start, size) __asan_unpoison_memory_region((start), (size))
#else
#define wefti_root_region(start, size) ((void)(start), (void)(size))
#define wefti_root_region_gone(start, size) ((void)(start), (void)(size))
#define wefti_unpoison(start, size) ((void)(start), (void)(size))
#endif

/* Runs in a signal's handler that ThreadSanitizer does not know of (os_signal_directly). */
#ifdef WEFTI_TSAN
#define WEFTI_IN_HANDLER __attribute__((no_sanitize("thread")))
#else
#define WEFTI_IN_HANDLER
#endif

#ifdef WEFTI_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

#endif
