/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt.h"

#include <stdbool.h>
#include <stdint.h>

#include "../os/os.h"

struct sink {
    char *text;
    size_t n, size; /* room for size - 1 bytes and the NUL */
};

/* One conversion: %[-0][width][.precision][l|ll|z]letter */
struct spec {
    bool left, zero;
    int width, precision; /* precision < 0: none */
    int longs;            /* 1: long or size_t, 2: long long */
};

static void put(struct sink *to, char c) {
    if (to->n + 1 < to->size)
        to->text[to->n++] = c;
}

static void put_padded(struct sink *to, const struct spec *s, const char *text, size_t n) {
    size_t width = s->width > 0 ? (size_t)s->width : 0;
    size_t pad = width > n ? width - n : 0;
    if (!s->left && s->zero && n > 0 && *text == '-') { /* the sign comes before the zeros */
        put(to, '-');
        text++, n--;
    }
    for (size_t i = 0; i < pad && !s->left; i++)
        put(to, s->zero ? '0' : ' ');
    for (size_t i = 0; i < n; i++)
        put(to, text[i]);
    for (size_t i = 0; i < pad && s->left; i++)
        put(to, ' ');
}

static void put_text(struct sink *to, struct spec *s, const char *text) {
    if (!text)
        text = "(null)";
    size_t n = 0;
    while ((s->precision < 0 || n < (size_t)s->precision) && text[n] != '\0')
        n++;
    s->zero = false;
    put_padded(to, s, text, n);
}

static void put_number(struct sink *to, const struct spec *s, uint64_t value, bool negative,
                       unsigned base) {
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    if (negative)
        digits[--at] = '-';
    put_padded(to, s, digits + at, sizeof digits - at);
}

static void put_pointer(struct sink *to, const struct spec *s, const void *p) {
    char text[2 + 16 + 1];
    size_t n = wefti_fmt(text, sizeof text, "0x%llx", (unsigned long long)(uintptr_t)p);
    put_padded(to, s, text, n);
}

static int64_t signed_arg(int longs, va_list *args) {
    if (longs == 0)
        return va_arg(*args, int);
    return longs == 1 ? va_arg(*args, long) : va_arg(*args, long long);
}

static uint64_t unsigned_arg(int longs, va_list *args) {
    if (longs == 0)
        return va_arg(*args, unsigned);
    return longs == 1 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned long long);
}

static int number(const char **at, va_list *args) {
    int n = 0;
    if (**at == '*') {
        (*at)++;
        return va_arg(*args, int);
    }
    for (; **at >= '0' && **at <= '9'; (*at)++)
        n = n * 10 + (**at - '0');
    return n;
}

/* Reads what is between % and the letter. */
static struct spec parse(const char **at, va_list *args) {
    struct spec s = {.precision = -1};
    for (; **at == '-' || **at == '0'; (*at)++) {
        s.left = s.left || **at == '-';
        s.zero = s.zero || **at == '0';
    }
    s.width = number(at, args);
    if (**at == '.') {
        (*at)++;
        s.precision = number(at, args);
    }
    for (; **at == 'l' || **at == 'z'; (*at)++)
        s.longs++;
    return s;
}

static void convert(struct sink *to, struct spec *s, char letter, va_list *args) {
    char c;
    int64_t i;
    switch (letter) {
    case 's':
        put_text(to, s, va_arg(*args, const char *));
        break;
    case 'c':
        c = (char)va_arg(*args, int);
        put_padded(to, s, &c, 1);
        break;
    case 'd':
    case 'i':
        i = signed_arg(s->longs, args);
        put_number(to, s, i < 0 ? -(uint64_t)i : (uint64_t)i, i < 0, 10);
        break;
    case 'u':
        put_number(to, s, unsigned_arg(s->longs, args), false, 10);
        break;
    case 'x':
        put_number(to, s, unsigned_arg(s->longs, args), false, 16);
        break;
    case 'p':
        put_pointer(to, s, va_arg(*args, const void *));
        break;
    default: /* %%, and what isn't known */
        put(to, letter);
    }
}

size_t wefti_vfmt(char *text, size_t size, const char *format, va_list args) {
    struct sink to = {text, 0, size};
    va_list rest; /* a va_list parameter may be an array: its address would be of another type */
    va_copy(rest, args);
    for (const char *at = format; *at != '\0'; at++) {
        if (*at != '%') {
            put(&to, *at);
            continue;
        }
        at++;
        struct spec s = parse(&at, &rest);
        if (*at == '\0')
            break;
        convert(&to, &s, *at, &rest);
    }
    va_end(rest);
    if (size > 0)
        text[to.n] = '\0';
    return to.n;
}

size_t wefti_fmt(char *text, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    size_t n = wefti_vfmt(text, size, format, args);
    va_end(args);
    return n;
}

void wefti_out_flush(struct wefti_out *out) {
    if (out->n > 0)
        os_write(out->fd, out->text, out->n);
    out->n = 0;
}

/* Writes the whole lines out and moves the begun one to the front. */
static void make_room(struct wefti_out *out) {
    size_t whole = out->n;
    while (whole > 0 && out->text[whole - 1] != '\n')
        whole--;
    if (whole == 0)
        whole = out->n; /* one long line: in pieces */
    size_t begun = out->n - whole;
    os_write(out->fd, out->text, whole);
    for (size_t i = 0; i < begun; i++)
        out->text[i] = out->text[whole + i];
    out->n = begun;
}

void wefti_out(struct wefti_out *out, const char *format, ...) {
    va_list args;
    for (int tries = 0; tries < 3; tries++) { /* as it is, without whole lines, alone */
        va_start(args, format);
        size_t room = out->size - out->n;
        size_t n = wefti_vfmt(out->text + out->n, room, format, args);
        va_end(args);
        if (n + 1 < room || out->n == 0) {
            out->n += n;
            return;
        }
        make_room(out);
    }
}
