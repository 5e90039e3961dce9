/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three things that the scheduler is made of, and the state that they share.
 *
 *   G  a goroutine: what runs.                      struct g, "gp"
 *   M  an operating-system thread: what runs it.    struct m, "mp"
 *   P  the right to run goroutines.                 struct p, "pp"
 *
 * An M needs a P to run goroutine code or to touch any object of the runtime (channels, locks'
 * queues, timers, contexts). There are GOMAXPROCS Ps. An M without a P may touch only what
 * wefti_sched.lock guards.
 *
 * Exclusion. Objects are guarded by P-locks (base/plock.h), taken by Ms that hold a P. With one P
 * the holder of that P excludes everybody, so P-locks, the park word and the run queue need no
 * atomic read-modify-write then: pp->single says so. It changes only while the world is stopped,
 * when no M is inside the runtime with a P.
 *
 * In and out of the runtime (one attention word per M). Goroutine code calls in by wefti_enter()
 * and leaves by wefti_leave() (sched/sched.h). Entering is a plain store (inrt = 1), a compiler
 * barrier and a load of the attention word; the M loads its P only after that. Whoever wants to
 * take the P away from an M in user code sets an attention byte, makes sure that the M has seen it
 * or is outside, and only then looks at inrt.
 *
 * The park word (struct g, wait). A wait has a ticket that no other wait of any goroutine ever has.
 * Its states, the ticket in the upper bits:
 *
 *   0                    the goroutine does not wait
 *   PARKING              it has published the wait and is still on its M's CPU
 *   PARKED               its M has switched away from its stack: somebody may run it
 *   …|CLAIMED            one waker has won this wait (compare-and-swap on the word): that waker
 *                        alone hands over the value and calls wefti_ready(); every other waker
 *                        loses and tries the next waiter
 *   PARKING|CLAIMED|NOTIFIED
 *                        the winner called wefti_ready() before the switch; the M that switches
 *                        away readies it
 *   PARKED|HELD          an inspector (dump, compaction) reads the goroutine's stack; wefti_ready()
 *                        leaves NOTE, and the inspector readies the goroutine when it lets go
 *
 *   PARKING --(after the switch)--> PARKED --claim--> PARKED|CLAIMED --ready--> 0
 *   PARKING --claim--> PARKING|CLAIMED --(switch)--> PARKED|CLAIMED --ready--> 0
 *                      PARKING|CLAIMED --ready--> PARKING|CLAIMED|NOTIFIED --(switch)--> 0
 *
 * HELD is only ever added to an unclaimed PARKED word, so a winner whose claim saw no HELD will see
 * none later.
 */
#ifndef WEFTI_RT_RT_H
#define WEFTI_RT_RT_H

#include <stddef.h>
#include <stdint.h>

#include "../base/atomic.h"
#include "../base/heap.h"
#include "../base/lock.h"
#include "../base/rand.h"
#include "../os/os.h"

struct g;
struct m;
struct p;
struct weft_impl_site;

#define WEFTI_CACHELINE 64

/* Why a goroutine waits; the texts are Go's and part of the contract (rt/reasons.c). */
enum wefti_reason {
    WEFTI_WAIT_NONE,
    WEFTI_WAIT_CHAN_RECEIVE,
    WEFTI_WAIT_CHAN_SEND,
    WEFTI_WAIT_CHAN_RECEIVE_NIL,
    WEFTI_WAIT_CHAN_SEND_NIL,
    WEFTI_WAIT_SELECT,
    WEFTI_WAIT_SELECT_NO_CASES,
    WEFTI_WAIT_SLEEP,
    WEFTI_WAIT_IO,
    WEFTI_WAIT_SEMACQUIRE,
    WEFTI_WAIT_MUTEX_LOCK,
    WEFTI_WAIT_RWMUTEX_RLOCK,
    WEFTI_WAIT_RWMUTEX_LOCK,
    WEFTI_WAIT_COND_WAIT,
    WEFTI_WAIT_WG_WAIT,
    WEFTI_WAIT_GROUP_WAIT,
    WEFTI_WAIT_GROUP_GO,
    WEFTI_WAIT_PREEMPTED,
    WEFTI_WAIT_REASONS
};
const char *wefti_reason_text(enum wefti_reason reason);

/* Park word: flags below, ticket above. */
#define WEFTI_PARKING 0x01u
#define WEFTI_PARKED 0x02u
#define WEFTI_CLAIMED 0x04u
#define WEFTI_NOTIFIED 0x08u
#define WEFTI_HELD 0x10u
#define WEFTI_NOTE 0x20u
#define WEFTI_CANCELLABLE 0x40u
#define WEFTI_WAIT_FLAGS 0xffu
#define WEFTI_TICKET_SHIFT 8

/* What ended a wait; written by the winner between its claim and wefti_ready(). */
enum wefti_wake {
    WEFTI_WAKE_OK,       /* got what it waited for */
    WEFTI_WAKE_CLOSED,   /* the channel was closed */
    WEFTI_WAKE_TIMEOUT,  /* the wait's own timer fired */
    WEFTI_WAKE_CANCELED, /* the goroutine's context ended */
};

/*
 * A goroutine waiting on an object: the link in that object's queue. One is embedded in each G for
 * waits on one object; select has more. It belongs to the goroutine; while it is queued its links
 * are guarded by the object's lock, and from a claim to wefti_ready() all of it belongs to the
 * winner.
 */
struct sudog {
    struct sudog *next, *prev; /* the object's queue */
    struct g *g;
    uint64_t ticket;  /* of the wait that put it there */
    uint64_t word[2]; /* the element on its way, or a box, or a count (semaphore) */
    void *object;     /* channel, lock, … : for dumps and select */
    uint32_t index;   /* case number in select; free use elsewhere */
    bool queued;      /* on object's queue; guarded by the object's lock */
    bool flag;        /* free use by the object */
};

/* FIFO of sudogs, guarded by the lock of the object that holds it. */
struct wefti_waitq {
    struct sudog *first, *last;
};

static inline void wefti_waitq_push(struct wefti_waitq *q, struct sudog *sg) {
    sg->next = NULL;
    sg->prev = q->last;
    if (q->last)
        q->last->next = sg;
    else
        q->first = sg;
    q->last = sg;
    sg->queued = true;
}

static inline void wefti_waitq_push_front(struct wefti_waitq *q, struct sudog *sg) {
    sg->prev = NULL;
    sg->next = q->first;
    if (q->first)
        q->first->prev = sg;
    else
        q->last = sg;
    q->first = sg;
    sg->queued = true;
}

static inline void wefti_waitq_remove(struct wefti_waitq *q, struct sudog *sg) {
    if (sg->prev)
        sg->prev->next = sg->next;
    else
        q->first = sg->next;
    if (sg->next)
        sg->next->prev = sg->prev;
    else
        q->last = sg->prev;
    sg->queued = false;
}

static inline struct sudog *wefti_waitq_pop(struct wefti_waitq *q) {
    struct sudog *sg = q->first;
    if (sg)
        wefti_waitq_remove(q, sg);
    return sg;
}

/*
 * A timer: an entry of a P's heap (timer/timer.h holds the protocol). `lock` guards arming and
 * stopping against each other; `heap` and the fields below it are guarded by the heap's lock while
 * armed, by `lock` otherwise.
 */
struct wefti_timer {
    uint32_t lock;             /* P-lock, rank WEFTI_RANK_TIMER */
    uint32_t slot;             /* index in heap */
    struct wefti_timers *heap; /* NULL: not armed (atomic) */
    int64_t when;              /* nanoseconds of weft_now() */
    int64_t period;            /* 0: once */
    bool (*fire)(struct m *mp, struct wefti_timer *t,
                 int64_t now);                         /* under the heap's lock; true: call late */
    void (*late)(struct m *mp, struct wefti_timer *t); /* after it */
    void *arg;
    uint64_t seq; /* the fire function's: a ticket */
};

/* The part of a context that the scheduler knows: what ends the waits of the goroutines that run
 * under it. */
struct wefti_ambient {
    uint32_t lock;     /* P-lock, rank WEFTI_RANK_CTX; guards members */
    int err;           /* 0, ECANCELED, ETIMEDOUT; set once (atomic) */
    struct g *members; /* goroutines that run under it, by ambient_next */
    uint64_t refs;     /* atomic */
    void (*release)(struct m *mp, struct wefti_ambient *ambient); /* the last reference went */
};

/* A goroutine's stack: a slot of a slab (stack/stack.h). */
struct wefti_stack {
    char *lo;                /* the slot's lowest address; its guard comes first */
    struct wefti_slab *slab; /* NULL: no stack */
};

/* What a C++ runtime keeps per thread about exceptions in flight (Itanium C++ ABI,
 * __cxa_eh_globals). */
struct wefti_cxa {
    void *caught;
    unsigned uncaught;
};

/* G status, numbered as in Go. */
enum wefti_gstatus {
    WEFTI_G_IDLE = 0,     /* just carved */
    WEFTI_G_RUNNABLE = 1, /* on a run queue; its stack belongs to nobody */
    WEFTI_G_RUNNING = 2,  /* owns its stack; has an M and, unless captive or in transit, a P */
    WEFTI_G_SYSCALL = 3,  /* in a bracket: owns its stack, has an M, no claim on a P */
    WEFTI_G_WAITING = 4,  /* parked or parking, see wait; its stack belongs to whoever holds HELD,
                             else to nobody */
    WEFTI_G_DEAD = 6,     /* on a free list, or ending */
};

#define WEFTI_NAME_SIZE 32

#define WEFTI_MAIN_BY_FORK                                                                         \
    2 /* goroutine 1 of a fork's child, started as another: its result is 0 */

#define WEFTI_SPECIAL_BOUND 0x01u     /* bound is set */
#define WEFTI_SPECIAL_FRESH 0x02u     /* it has not run yet: no stack */
#define WEFTI_SPECIAL_UNGUARDED 0x04u /* its stack has no guard of its own */
#define WEFTI_SPECIAL_CXA 0x08u       /* cxa holds exceptions in flight */
#define WEFTI_SPECIAL_BLOCKY 0x10u    /* it is known to block without a bracket (stray.c) */

/* What is still to be done for a goroutine once its M has left its stack. */
enum wefti_post {
    WEFTI_POST_PARK,   /* PARKING becomes PARKED, or it is readied when NOTIFIED */
    WEFTI_POST_YIELD,  /* to the tail of this P's queue */
    WEFTI_POST_GLOBAL, /* to the tail of the global queue */
    WEFTI_POST_FRONT,  /* to the front of this P's queue: the world stops */
    WEFTI_POST_NEED_P, /* its M has no P: on with an idle one, else to the global queue */
    WEFTI_POST_FREE,   /* it has ended; stack and G become free */
};

struct wefti_defer {
    struct wefti_defer *next;
    void (*fn)(void *);
    void *arg;
};

/*
 * A goroutine. Hot lines first. Unless said otherwise a field belongs to the goroutine while it
 * runs and to the M that schedules it otherwise.
 */
struct g {
    /* line 0: the switch */
    void *sp;            /* saved stack pointer; valid while it is not running */
    uint64_t wait;       /* park word (atomic) */
    struct g *schedlink; /* run queue or free list */
    struct m *m;         /* the M that ran it last (atomic for readers: wefti_g_m) */
    struct m *bound; /* it runs on this M only (locked, foreign, captive); that M's thread waits for
                        a P with it; set by wefti_bind alone */
    uint8_t status;  /* enum wefti_gstatus (atomic for readers) */
    uint8_t reason;  /* enum wefti_reason (atomic for readers) */
    uint8_t wake;    /* enum wefti_wake: winner's until ready */
    uint8_t special; /* WEFTI_SPECIAL_…: whatever an ordinary switch need not look at */
    int err;         /* errno while not running */
    struct wefti_ambient *ambient; /* the context it runs under; NULL is the background */
    uint32_t since;                /* wefti_stamp() of the park, for "5 minutes" (atomic) */
    uint8_t post;                  /* enum wefti_post */

    /* line 1: life */
    struct sudog *woke;       /* the sudog whose wait was won */
    struct wefti_stack stack; /* bound at the first run; zero before it */
    void (*fn)(void);
    uint64_t id;
    const struct weft_impl_site *site; /* of weft_go */
    uint64_t creator;                  /* id of the goroutine that made it */
    struct wefti_defer *defers;        /* last first */
    void (*done)(struct m *mp, struct g *gp,
                 int result); /* group's and wait group's interest in the end, or NULL */

    void *done_arg;
    void **keys; /* goroutine-local values, or NULL */
    uint32_t nkeys;
    uint32_t locked;      /* weft_lock_os_thread count */
    struct wefti_cxa cxa; /* C++ exception globals while not running, when special says so */
    uint8_t stack_class;  /* log2 of its size over the smallest; stack/stack.h */
    uint8_t foreign;      /* stands for a thread that weft did not start: id 0, not counted */
    uint8_t captive;      /* bound is temporary: a safe point in a call that may not migrate, or in
                             its own code (atomic for readers) */
    uint8_t main;         /* 1: goroutine 1 of weft_run; or WEFTI_MAIN_BY_FORK */
    uint8_t straggler;    /* its M was set aside at the end of a run */
    uint8_t blocky;       /* how often it lost its P lately, up to WEFTI_BLOCKY_MOST; sched.lock */
    uint32_t system;      /* runtime goroutine: not counted, not dumped */
    uint32_t used;        /* nanoseconds of a slice that was cut and goes on, or 0 (slice.c) */
    uint32_t away;        /* nanoseconds that cuts kept it away, lately */
    int64_t cut;          /* when its slice was cut */
    struct g *ambient_next, *ambient_prev; /* guarded by ambient->lock */
    void *fiber;                           /* ThreadSanitizer's fiber */
    void *asan_stack;                      /* AddressSanitizer's fake stack while not running */
    struct wefti_timer timer;              /* sleeps and time-outs of its own */
    union {
        uint64_t words[6];  /* arguments, until the first run */
        struct sudog sudog; /* waits, after it */
    };
    char name[WEFTI_NAME_SIZE];
} __attribute__((aligned(WEFTI_CACHELINE)));

/* One attention word per M: a byte a cause, so that each is set by a plain store, all are read by
 * one load. */
union wefti_attn {
    uint64_t word;
    struct {
        uint8_t preempt; /* WEFTI_SLICE_OVER, which a stop of the world says, too, or WEFTI_CUT */
        uint8_t stolen; /* WEFTI_ASKED or WEFTI_TAKEN: its P, while it is in the kernel (stray.c) */
        uint8_t bracket; /* inside weft_block (the M itself) */
        uint8_t foreign; /* a thread of the program's: gets a P for each call (the M itself) */
        uint8_t forked;  /* a fork's child (the fork handler) */
        uint8_t ended;   /* the run is over (whoever ends it) */
        uint8_t deaf;    /* it does not answer the preemption signal (sysmon) */
        uint8_t pad;
    } is;
};

enum wefti_preempt {
    WEFTI_SLICE_OVER = 1,
    WEFTI_CUT = 2, /* something came due; the slice goes on later (slice.c) */
};

#define WEFTI_BLOCKY_MOST 4

enum wefti_giveback {
    WEFTI_GIVEBACK = 1,        /* gives it back: foreign thread, or a call inside a bracket */
    WEFTI_GIVEBACK_BLOCKY = 2, /* the same if the goroutine is blocky and others wait */
};

enum wefti_stolen {
    WEFTI_ASKED = 1, /* the monitor looks whether its P can be taken */
    WEFTI_TAKEN = 2, /* its P is not its own any more */
};

/* Where the preemption signal found an M outside of the runtime, for observers (preempt.c). */
enum wefti_shown { WEFTI_SPOT_NONE, WEFTI_SPOT_ASKED, WEFTI_SPOT_SHOWN };
struct wefti_spot {
    uint32_t state;    /* futex, enum wefti_shown: the handler waits while it is SHOWN (atomic) */
    struct os_regs at; /* (atomic members) */
};

/* A time slice of a P: what is the same while one goroutine keeps it. (atomic members) */
struct wefti_stretch {
    struct p *p;
    uint32_t schedtick, globaltick, yields;
};

/* How long an M's goroutine has been at it: the monitor's own (observe/stall.c). */
struct wefti_stall {
    struct g *g; /* NULL: none */
    uint64_t id;
    struct wefti_stretch stretch;
    uint32_t since; /* of g */
    uint8_t how;
    uint8_t told;           /* how far its report is */
    uint8_t cause, bracket; /* as it was reported */
    uint8_t captive;        /* it has waited for its turn */
    int64_t begun, looked;  /* first and last look */
    int64_t queued;         /* nanoseconds without a P, as a captive */
    int64_t call;           /* the last system call it was seen in; -1: none */
    int64_t measured;       /* when `used` was; 0: not yet, -1: it can't be */
    struct os_usage used;   /* then; what was used until the report, from there on */
    int64_t asked;          /* when it was to show its frames */
    char name[WEFTI_NAME_SIZE];
};

/* A thread. Records are never freed: sysmon and dumps look at them without a lock. */
struct m {
    /* line 0: entry and leave; written by the M itself but for attn */
    uint32_t inrt;         /* inside the runtime (atomic: read by retakers) */
    uint8_t giveback;      /* enum wefti_giveback: what wefti_leave does with the P */
    uint8_t spinning;      /* looks for work */
    uint8_t blocked;       /* sleeps on park */
    uint8_t outside;       /* stands in for threads while no runtime is up */
    union wefti_attn attn; /* (atomic bytes) */
    struct p *p;           /* NULL: none */
    struct g *curg;        /* NULL: on g0 */
    int *errnop;           /* this thread's errno */
    struct wefti_cxa *cxa; /* this thread's C++ exception globals, or NULL */
    void *g0sp;            /* saved stack pointer of the scheduler's stack */
    struct g *after;       /* the goroutine whose post action is due */

    /* line 1: sleep and wake */
    uint32_t park; /* futex: 1 when woken (atomic) */
    uint32_t id;
    struct p *offer;    /* a P handed to it: taken by exchange (atomic) */
    struct p *oldp;     /* the P it had when it entered a bracket */
    struct g *lockedg;  /* the goroutine that is bound to it */
    struct m *idlelink; /* sched.lock: the lists it may be on, one at a time */
    struct m *idleprev; /* sched.lock: idle list */
    struct m *alllink;  /* sched.lock */
    uint32_t tid;       /* kernel thread id (atomic for the monitor) */
    uint32_t depth;     /* nesting of brackets */
    struct wefti_rand rand;
    struct g *wanted;  /* picked on a goroutine's stack, but g0 must run it */
    int64_t idlesince; /* sched.lock: when it went onto the idle list */

    struct os_thread thread;
    uint64_t run; /* the run it belongs to (foreign threads keep theirs across runs) */
    char *alt_lo; /* the alternate stack of its signal handlers, … */
    size_t alt_size;
    void *altstack;          /* … if it is weft's, else NULL */
    uint8_t dying;           /* a locked goroutine ended here: the thread ends too */
    uint8_t straggler;       /* left behind by the end of its run; sched.lock */
    uint8_t retired;         /* was idle for long: the thread ends (atomic) */
    uint8_t revoked;         /* its offer was taken back (atomic; revoke.c) */
    uint8_t idle;            /* on the idle list; sched.lock */
    uint8_t first;           /* weft_run's thread, or a process's first: it is never retired */
    uint8_t counted;         /* in sched.nm although it has no m_main: m0 */
    uint8_t blocked_counted; /* counts as asleep with its bound goroutine */
    uint8_t inner_bound;     /* its goroutine was bound before a call inside a bracket bound it */
    void *g0_lo, *g0_hi;     /* bounds of the thread's own stack */
    void *fiber;             /* ThreadSanitizer's fiber of g0 */
    void *asan_stack;
    int cpu_at;                   /* the CPU on which it went to sleep, or woke (atomic) */
    uint8_t leaving;              /* it gives its P away and sleeps then */
    uint32_t pinned;              /* 1 + the CPU it is kept to, 0: none (atomic; mthread.c) … */
    int64_t pinned_at;            /* … since when, … */
    struct os_affinity unpinned;  /* … and the CPUs it had before: of who set it */
    uint32_t signalled;           /* the preemption signal was sent and not answered (atomic) */
    uint8_t making;               /* the spawner has got to its record; sched.lock */
    int64_t signalled_at;         /* when; sched.lock */
    struct m *stray, **strayp;    /* sched.lock: those whose P was taken in a system call, … */
    struct m *newstray;           /* … not on that list yet (atomic), … */
    uint32_t straying;            /* … which is so (atomic), … */
    int64_t looked_at, cpu;       /* … and when its CPU clock was read last, and what it said */
    int64_t strayed_at;           /* when it gave its P away for a blocky goroutine, or 0 */
    uint32_t ranks;               /* debug builds: ranks of the locks held */
    struct g foreign;             /* the G of a foreign thread */
    struct wefti_stretch resumed; /* the slice that it got when it was last a captive */
    struct wefti_spot spot;
    struct wefti_stall stall;
} __attribute__((aligned(WEFTI_CACHELINE)));

/* Binds gp to mp's thread; NULL unbinds. */
static inline void wefti_bind(struct g *gp, struct m *mp) {
    store_relaxed(&gp->bound, mp);
    gp->special =
        (uint8_t)(mp ? gp->special | WEFTI_SPECIAL_BOUND : gp->special & ~WEFTI_SPECIAL_BOUND);
}

/* The M that runs gp at the moment, or NULL. For observers. */
static inline struct m *wefti_g_m(const struct g *gp) {
    struct m *mp = load_relaxed(&gp->m);
    return mp && load_relaxed(&mp->curg) == gp ? mp : NULL;
}

enum wefti_pstatus {
    WEFTI_P_IDLE =
        0, /* on the idle list, or in transit between Ms; owned by the list or the transit */
    WEFTI_P_RUNNING = 1, /* owned by an M */
    WEFTI_P_SYSCALL =
        2, /* its M is in a bracket; whoever changes this by compare-and-swap owns it */
    WEFTI_P_STOPPED = 3, /* the world is stopped; owned by whoever stopped it */
    WEFTI_P_DEAD = 4,    /* beyond GOMAXPROCS */
};

#define WEFTI_RUNQ 256
#ifndef WEFTI_RUNQ_SIZE
#define WEFTI_RUNQ_SIZE WEFTI_RUNQ
#endif

/* Ring of runnable goroutines: the owner P's M puts at tail and takes at head, thieves take at head
 * by CAS. */
struct wefti_runq {
    uint32_t head; /* atomic: owner and thieves */
    uint32_t pad[15];
    uint32_t tail; /* atomic: owner writes, thieves read */
    uint32_t pad2;
    struct g *next; /* runnext: the owner's next goroutine; inherits the time slice; atomic */
    struct g *ring[WEFTI_RUNQ_SIZE];
};

struct wefti_glist { /* singly linked by schedlink */
    struct g *first, *last;
    uint32_t n;
};

#define WEFTI_STACK_CACHE 64

/* The right to run. Belongs to the M that holds it, unless said otherwise. */
struct p {
    uint32_t status; /* enum wefti_pstatus (atomic) */
    uint32_t
        single; /* GOMAXPROCS is 1: the holder excludes everybody; changed with the world stopped */
    uint32_t id;
    uint32_t
        globaltick; /* switches left until the next look at the global queue (atomic for readers) */
    struct m *m;    /* the M that has it (atomic for readers) */
    uint64_t ticket, ticket_end; /* block of wait tickets */
    uint64_t goid, goid_end;     /* block of goroutine ids */
    uint32_t seeded;             /* the oracle decides more than usual (GODEBUG=schedseed) */

    struct wefti_glist gfree;   /* free Gs, last first */
    struct wefti_glist yielded; /* on their way to the global queue, in one batch */
    uint64_t created, ended;    /* goroutines started and ended here (atomic for readers) */
    int64_t
        promises; /* stacks set aside by the reserve for goroutines that this P may still make */
    uint32_t nstacks;
    uint32_t schedtick;   /* time slices begun (atomic for readers) */
    uint32_t syscalltick; /* brackets entered (atomic for readers) */
    uint32_t timertick;
    uint32_t yields;    /* goroutines that yielded here (atomic for readers) */
    uint32_t turn;      /* whose the next turn out of order is: the global queue's or the ring's */
    uint32_t slicetick; /* a slice whose beginning was noted (atomic) … */
    int64_t slicewhen;  /* … and when that was (atomic) … */
    int64_t cutafter;   /* … and from when on it may be cut (atomic) … */
    uint32_t sliceswitch; /* … and globaltick then (atomic) */
    int64_t cutbegan;     /* when the slice that is to be cut began (atomic) */
    uint32_t turns;       /* turns given to the global queue, or by rounds (atomic) */
    int64_t ownsince;     /* when a captive last gave it up at the end of its slice */
    uint32_t rounds;      /* slices cut here until the global queue comes before the own one */
    struct p *link;       /* sched.lock: idle list */
    struct m *stopm;      /* sched.lock: the M that gave it up for a stop of the world */
    struct m *offered;    /* the M that was granted it and has not taken it yet (atomic) */

    struct { /* sysmon's own */
        uint32_t schedtick, syscalltick;
        int64_t schedwhen, syscallwhen;
        uint32_t globaltick;
        uint32_t told; /* the slice that was to end … */
        int64_t toldwhen;
        uint32_t turns; /* turns, and since when */
        int64_t turnwhen;
        uint32_t cputick;  /* the slice in which the M's CPU clock … */
        int64_t cpu;       /* … said this */
        struct m *offered; /* an offer, … */
        uint32_t offertick;
        int64_t offerwhen; /* … and when it was seen first, or looked at */
    } mon;

    struct wefti_stack stacks[WEFTI_STACK_CACHE]; /* free stacks of the default size, last first */
    struct wefti_memcache mem;

    struct wefti_timers *timers __attribute__((aligned(WEFTI_CACHELINE)));
    struct wefti_runq runq __attribute__((aligned(WEFTI_CACHELINE)));
} __attribute__((aligned(WEFTI_CACHELINE)));

#endif
