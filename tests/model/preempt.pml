/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption by signal (src/sched/preempt.c, bound.c, enter.c, syscall.c): MS threads, each with a
 * goroutine, and one P.
 *
 *   thread     ROUNDS times one of: a weft call (which takes the scheduler's lock inside), a bracket, an
 *              unannounced system call, a critical section under a lock of pthreads', a computation;
 *              then its goroutine ends
 *   handler    of the preemption signal, on that thread: while it runs the thread's own steps wait
 *   sysmon     tells the M that has the P, or a stray that computes, to give way, in three steps, so that
 *              byte and signal may come late; takes a P in state SYSCALL; starts an idle P
 *
 * At the start thread 0 has the P and the others wait in the global queue, as captives. Threads in
 * reserve are left out: whoever gives the P up for others is in the queue himself, so there is always
 * a captive to be granted it.
 *
 * Checked:
 *   one owner      nobody acquires the P while somebody has it
 *   with a P       the inside of a weft call has the P
 *   no own lock    the handler never waits for the lock that its own thread holds (a deadlock)
 *   all end        a captive, a stray or one that waits for a lock of pthreads' that is never served
 *                  is an invalid end state
 *
 * Broken on purpose (each must be found):
 *   -DBREAK_INRT      the handler does not look at inrt
 *   -DBREAK_LEAVE     inrt becomes 0 while the lock is still held
 *   -DBREAK_BRACKET   the handler does not look at bracket
 *   -DBREAK_STOLEN    entry does not look at stolen
 *   -DBREAK_BACK      a stray takes its P back by a load and a store
 *   -DBREAK_BLOCKED   threads in a system call are not signalled
 */
#ifndef MS
#define MS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

#define TRANSIT 0 /* between owners, or just taken */
#define RUNNING 1
#define SYSCALL 2
#define IDLE 3

byte status = RUNNING;        /* of the P */
bool has[MS];                 /* mp->p */
bool inrt[MS], preempt[MS], stolen[MS], bracket[MS], insys[MS];
bool offer[MS], sig[MS], handling[MS], ended[MS];
bool lock;                    /* of the scheduler */
bool mutex;                   /* of pthreads' */
byte alive = MS;
chan global = [MS] of { byte };

#define OWN(step) atomic { !handling[me] -> step } /* of the thread, not its handler */
#define LOCK atomic { !lock -> lock = true }
#define UNLOCK lock = false

inline acquire(m) {
    atomic {
        assert(!has[0] && !has[1] && !has[MS - 1]);
        has[m] = true;
        status = RUNNING
    }
}

/* The P to the next in the queue, with the lock. */
inline pass_on() {
    if
    :: atomic { nempty(global) -> global?next; offer[next] = true }
    :: atomic { empty(global) -> status = IDLE }
    fi
}

/* By the thread inside, or by its handler; `mine` says that the step is the thread's own to make. */
inline sleep_for_p(mine) {
    atomic { mine && offer[me] -> offer[me] = false };
    acquire(me)
}

inline requeue(mine) {
    atomic { mine -> has[me] = false; status = TRANSIT };
    atomic { mine && !lock -> lock = true };
    global!me;
    pass_on();
    UNLOCK;
    sleep_for_p(mine)
}

inline need_p(mine) {
    atomic { mine && !lock -> lock = true };
    if
    :: atomic { status == IDLE -> status = TRANSIT };
       UNLOCK;
       acquire(me)
    :: atomic { status != IDLE -> global!me };
       UNLOCK;
       sleep_for_p(mine)
    fi
}

inline take_back(mine) {
#ifdef BREAK_BACK
    atomic { mine -> kept = (status == SYSCALL) };
    if
    :: kept -> status = TRANSIT; acquire(me)
    :: else
    fi;
#else
    atomic {
        mine -> kept = (status == SYSCALL);
        if
        :: kept -> status = TRANSIT; acquire(me)
        :: else
        fi
    };
#endif
    stolen[me] = false
}

/* ---- the thread ---- */

#define FREE (!handling[me])

inline enter() {
    OWN(inrt[me] = true);
    OWN(slow = preempt[me] || stolen[me]);
    if
    :: slow ->
        if
#ifndef BREAK_STOLEN
        :: stolen[me] ->
            take_back(FREE);
            if
            :: kept
            :: else -> need_p(FREE)
            fi
#endif
        :: else
        fi;
        if
        :: preempt[me] && has[me] ->
            OWN(preempt[me] = false);
            if
            :: nempty(global) -> requeue(FREE)
            :: empty(global)
            fi
        :: else
        fi
    :: else
    fi
}

inline inside() {
    OWN(assert(has[me]));
    atomic { FREE && !lock -> lock = true };
#ifdef BREAK_LEAVE
    OWN(inrt[me] = false);
    OWN(UNLOCK)
#else
    OWN(UNLOCK)
#endif
}

inline in_bracket() {
    enter();
    OWN(bracket[me] = true);
    OWN(has[me] = false);
    OWN(status = SYSCALL);
    OWN(inrt[me] = false);
    OWN(skip);
    OWN(inrt[me] = true);
    OWN(bracket[me] = false);
    atomic {
        FREE -> kept = (status == SYSCALL);
        if
        :: kept -> status = TRANSIT; acquire(me)
        :: else
        fi
    };
    if
    :: kept
    :: else -> need_p(FREE)
    fi;
    OWN(inrt[me] = false)
}

proctype thread(byte me) {
    byte rounds, next;
    bool kept, slow;
    if
    :: me != 0 -> inrt[me] = true; sleep_for_p(FREE); OWN(inrt[me] = false)
    :: else
    fi;
    do
    :: rounds < ROUNDS ->
        rounds++;
        if
        :: enter(); inside(); OWN(inrt[me] = false)
        :: in_bracket()
        :: OWN(insys[me] = true); OWN(insys[me] = false)
        :: OWN(insys[me] = true);
           atomic { FREE && !mutex -> mutex = true; insys[me] = false };
           OWN(skip);
           OWN(mutex = false)
        :: OWN(skip)
        fi
    :: else -> break
    od;
    enter(); /* the end: inside for good */
    OWN(assert(has[me]));
    atomic { FREE -> has[me] = false; status = TRANSIT };
    atomic { FREE && !lock -> lock = true };
    pass_on();
    UNLOCK;
    atomic { ended[me] = true; alive-- }
}

/* ---- its handler ---- */

#define ALWAYS (true)

proctype handler(byte me) {
    byte next;
    bool kept;
end:
    do
    :: atomic { sig[me] && !ended[me] -> sig[me] = false; handling[me] = true };
        if
#ifndef BREAK_INRT
        :: inrt[me]
#endif
        :: else ->
            inrt[me] = true;
            if
#ifdef BREAK_BRACKET
            :: !preempt[me]
#else
            :: !preempt[me] || bracket[me]
#endif
            :: else ->
                if
                :: stolen[me] && insys[me]
                :: stolen[me] && !insys[me] ->
                    take_back(ALWAYS);
                    if
                    :: kept
                    :: else -> preempt[me] = false; need_p(ALWAYS)
                    fi
                :: else ->
                    preempt[me] = false;
                    if
                    :: empty(global)
                    :: nempty(global) && insys[me] ->
                        stolen[me] = true;
                        has[me] = false;
                        status = SYSCALL
                    :: nempty(global) && !insys[me] ->
                        assert(has[me]);
                        requeue(ALWAYS)
                    fi
                fi
            fi;
            inrt[me] = false
        fi;
        handling[me] = false
    :: ended[me] -> break
    od
}

/* ---- sysmon ---- */

#ifdef BREAK_BLOCKED
#define MAY(m) (!insys[m])
#else
#define MAY(m) (true)
#endif

inline tell(m) {
    preempt[m] = true;
    if
    :: !inrt[m] -> sig[m] = true
    :: else
    fi
}

proctype sysmon() {
    byte next, m;
    do
    :: MAY(0) && has[0] && nempty(global) && !(preempt[0] && (sig[0] || inrt[0])) -> m = 0; tell(m)
    :: MAY(1) && has[1] && nempty(global) && !(preempt[1] && (sig[1] || inrt[1])) -> m = 1; tell(m)
#if MS > 2
    :: MAY(2) && has[2] && nempty(global) && !(preempt[2] && (sig[2] || inrt[2])) -> m = 2; tell(m)
#endif
    :: stolen[0] && !insys[0] && !sig[0] && !inrt[0] -> m = 0; tell(m)
    :: stolen[1] && !insys[1] && !sig[1] && !inrt[1] -> m = 1; tell(m)
    :: status == SYSCALL && nempty(global) ->
        if
        :: atomic { status == SYSCALL -> status = TRANSIT };
           LOCK;
           pass_on();
           UNLOCK
        :: atomic { status != SYSCALL -> skip }
        fi
    :: status == IDLE && nempty(global) ->
        LOCK;
        if
        :: atomic { status == IDLE -> status = TRANSIT };
           pass_on()
        :: else
        fi;
        UNLOCK
    :: alive == 0 -> break
    od
}

init {
    byte i;
    atomic {
        has[0] = true;
        for (i : 1 .. MS - 1) {
            global!i
        }
        for (i : 0 .. MS - 1) {
            run thread(i);
            run handler(i)
        }
        run sysmon()
    }
}
