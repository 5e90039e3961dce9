/* SPDX-License-Identifier: Apache-2.0 */
/* How much a dying program says of itself, and who says it. */
#ifndef WEFTI_BASE_TRACEBACK_H
#define WEFTI_BASE_TRACEBACK_H

/* GOTRACEBACK: a name or 0, 1, 2 (none, all, system). Anything else, or nothing, is all. */
enum wefti_traceback {
    WEFTI_TRACEBACK_NONE,   /* the message line */
    WEFTI_TRACEBACK_SINGLE, /* and the guilty goroutine; all when there is none */
    WEFTI_TRACEBACK_ALL,    /* and all others */
    WEFTI_TRACEBACK_SYSTEM, /* the runtime's own goroutines too; addresses in the headers */
    WEFTI_TRACEBACK_CRASH,  /* the same, and then SIGABRT */
};
enum wefti_traceback wefti_traceback(void);

/* Writes the dump of a fatal error; NULL until observe/dump.c set it. */
extern void (*wefti_dump_hook)(int fd);
/* Sets it (observe/dump.c); at the start of each run. */
void wefti_observe_init(void);

#endif
