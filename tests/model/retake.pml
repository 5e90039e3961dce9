/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unannounced retake (src/sched/retake.c): sysmon takes the P of an M that is blocked outside of
 * the runtime, without its doing. NM threads with a goroutine each, NP Ps.
 *
 *   thread     one of: nothing (it computes), a weft call (which takes the scheduler's lock inside), a
 *              bracket, a critical section under a lock of pthreads', whose wait is a system call; then
 *              its goroutine ends. -DCALLS=0, -DBRACKETS=0, -DMUTEX=0 leave these out, -DSYSCALLS=1 has
 *              one that just waits
 *   handler    of the preemption signal, on that thread: while it runs the thread's own steps wait
 *   sysmon     takes Ps that others wait for (-DANY_TIME: and others), as below; TELLS times tells an
 *              M with a P that others wait for, or a stray that computes, to give way, in steps, so
 *              that byte and signal may come late; takes a P in state SYSCALL
 *
 * `stolen` of an M: 0, ASKED (sysmon looks), TAKEN (its P is gone). sysmon, for the M that it read in
 * p->m, when that is outside and in no bracket: stolen 0 -> ASKED; a look by the kernel, that found
 * the thread off its CPU; inrt 0, mp->p the P, its status RUNNING, no bracket, each a step of its own;
 * stolen ASKED -> TAKEN, and the P is its. The M, each time that it gets in (entry, the handler, a
 * bracket's end): stolen ASKED -> 0, and it keeps its P; or TAKEN, and it has none.
 *
 * Memory. Entry is a plain store of inrt and a load of stolen, and on x86 the store may be seen after
 * the load. So it has a store buffer of one entry (`late`), emptied before the M's next step but one,
 * and by the kernel's look. All else that a thread stores before it leaves is seen before inrt 0 is.
 *
 * That the thread is blocked is not in the model: the look may come at any step, for a thread may be
 * off its CPU for a page fault. So sysmon takes Ps from threads that compute as well, at any time.
 * With membarrier in place of the look it is the same. No threads are in reserve: each in the queue
 * brings its own. Left out: weft calls within brackets, the end of a run, records of Ms that are used
 * again.
 *
 * Checked:
 *   one owner      nobody acquires a P, or gives one up, that is not in nobody's, or his, hands; what
 *                  sysmon takes is the P that the M has
 *   with a P       the inside of a weft call has its P
 *   the right P    an M that finds TAKEN has in mp->p the P that was taken
 *   all end        a captive, a stray or one that waits for a lock of pthreads' that is never served,
 *                  or a lost P, is an invalid end state
 *
 * Broken on purpose (each must be found):
 *   -DBREAK_FENCE     no look by the kernel, so no fence on the M's side
 *   -DBREAK_INRT      sysmon does not look at inrt
 *   -DBREAK_P         sysmon does not look whether the M still has that P (shows with NP=2, NM=3)
 *   -DBREAK_CAS       ASKED -> TAKEN by a load and a store
 *   -DBREAK_ENTRY     entry does not look at stolen
 *   -DBREAK_ASKED     the handler takes no notice of ASKED
 *   -DBREAK_EXIT      a bracket's end does not look at stolen
 */
#ifndef NP
#define NP 1
#endif
#ifndef NM
#define NM 2
#endif
#ifndef BRACKETS
#define BRACKETS 1
#endif
#ifndef MUTEX
#define MUTEX 1
#endif
#ifndef SYSCALLS
#define SYSCALLS 0
#endif
#ifndef CALLS
#define CALLS 1
#endif
#ifndef TELLS
#define TELLS 1 /* how often sysmon tells an M to give way */
#endif

#define NONE 7 /* no P, no M */

#define TRANSIT 0 /* between owners, or just taken */
#define RUNNING 1
#define SYSCALL 2
#define IDLE 3

#define ASKED 1
#define TAKEN 2

byte status[NP];
byte pm[NP];                  /* p->m */
byte mpp[NM];                 /* mp->p */
byte oldp[NM], offer[NM];
bool inrt[NM], late[NM];      /* late: the store of 1 is not seen yet */
byte stolen[NM];
bool preempt[NM], bracket[NM], insys[NM];
bool sig[NM], handling[NM], ended[NM];
bool lock;                    /* of the scheduler */
bool mutex;                   /* of pthreads' */
byte alive = NM;
chan global = [NM] of { byte };

/* for the checks alone */
byte owner[NP];
byte taken[NM];

#define FREE (!handling[me])
#define ALWAYS (true)
#define OWN(step) atomic { !handling[me] -> step } /* of the thread, not its handler */
#define HAS(m) (mpp[m] != NONE && owner[mpp[m]] == m)

inline drain(m) {
    inrt[m] = inrt[m] || late[m];
    late[m] = false
}

inline take_idle(pp) {
    if
    :: status[0] == IDLE -> pp = 0
#if NP > 1
    :: status[0] != IDLE && status[1] == IDLE -> pp = 1
#endif
    :: else -> pp = NONE
    fi;
    if
    :: pp != NONE -> status[pp] = TRANSIT
    :: else
    fi
}

inline own_p(m, pp) {
    assert(owner[pp] == NONE && mpp[m] == NONE);
    owner[pp] = m;
    mpp[m] = pp;
    pm[pp] = m;
    status[pp] = RUNNING
}

/* Of the M's own; it is the caller's to pass on. */
inline disown_p(m, pp) {
    assert(HAS(m));
    pp = mpp[m];
    owner[pp] = NONE;
    mpp[m] = NONE;
    pm[pp] = NONE;
    status[pp] = TRANSIT
}

/* The P to the next in the queue, with the lock. */
inline pass_on(pp) {
    assert(owner[pp] == NONE);
    if
    :: nempty(global) -> global?next; offer[next] = pp; next = 0
    :: empty(global) -> status[pp] = IDLE
    fi;
    pp = NONE
}

/* By the thread inside, or by its handler; `mine` says that the step is the thread's own to make. */
inline sleep_for_p(mine) {
    atomic { mine && offer[me] != NONE -> own_p(me, offer[me]); offer[me] = NONE }
}

inline requeue(mine) {
    atomic { mine -> disown_p(me, pp) };
    atomic { mine && !lock -> global!me; pass_on(pp) };
    sleep_for_p(mine)
}

inline need_p(mine) {
    atomic {
        mine && !lock -> take_idle(pp);
        if
        :: pp != NONE -> own_p(me, pp); pp = NONE
        :: else -> global!me
        fi
    };
    if
    :: mpp[me] == NONE -> sleep_for_p(mine)
    :: else
    fi
}

/* inrt = 1: seen at once, or after the load that comes next. */
inline store_inrt(mine) {
    if
    :: atomic { mine -> inrt[me] = true }
    :: atomic { mine -> late[me] = true }
    fi
}

/* Of a P in state SYSCALL; kept: pp is its own again. */
inline take_syscall(mine) {
    atomic {
        mine -> kept = (oldp[me] != NONE && status[oldp[me]] == SYSCALL);
        if
        :: kept -> status[oldp[me]] = TRANSIT
        :: else
        fi
    }
}

/* It found TAKEN: on with its old P, if that is left in state SYSCALL, or with another. */
inline come_back(mine) {
    atomic {
        mine ->
        if
        :: mpp[me] != NONE -> /* sysmon took it */
            assert(mpp[me] == taken[me] && owner[mpp[me]] != me);
            oldp[me] = NONE;
            mpp[me] = NONE
        :: else
        fi
    };
    take_syscall(mine);
    atomic { mine && !lock -> stolen[me] = 0; taken[me] = NONE };
    if
    :: kept -> atomic { mine -> own_p(me, oldp[me]); oldp[me] = NONE; kept = false }
    :: else -> need_p(mine)
    fi
}

#define unASK if :: stolen[me] == ASKED -> stolen[me] = 0 :: else fi

/* ---- the thread ---- */

inline enter() {
    store_inrt(FREE);
#ifdef BREAK_ENTRY
    OWN(slow = preempt[me]);
#else
    OWN(slow = preempt[me] || stolen[me] != 0);
#endif
    OWN(drain(me));
    if
    :: slow ->
        slow = false;
#ifndef BREAK_ENTRY
        OWN(unASK);
        if
        :: stolen[me] == TAKEN -> come_back(FREE)
        :: else
        fi;
#endif
        if
        :: preempt[me] ->
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

inline leave() {
    OWN(assert(HAS(me)); inrt[me] = false)
}

inline in_bracket() {
    enter();
    OWN(assert(HAS(me)); oldp[me] = mpp[me]; bracket[me] = true; mpp[me] = NONE);
    OWN(owner[oldp[me]] = NONE; status[oldp[me]] = SYSCALL);
    OWN(inrt[me] = false);
    store_inrt(FREE);
#ifndef BREAK_EXIT
    OWN(slow = stolen[me] != 0);
    OWN(drain(me));
    if
    :: slow -> slow = false; OWN(unASK)
    :: else
    fi;
#else
    OWN(drain(me));
#endif
    OWN(bracket[me] = false);
    take_syscall(FREE);
    if
    :: kept -> OWN(own_p(me, oldp[me]); kept = false)
    :: else -> need_p(FREE)
    fi;
    OWN(oldp[me] = NONE);
    leave()
}

proctype thread(byte me) {
    byte next, pp = NONE;
    bool kept, slow;
    if
    :: me >= NP -> sleep_for_p(FREE); leave()
    :: else
    fi;
    if
    :: OWN(skip)
#if CALLS
    :: enter(); atomic { FREE && !lock -> lock = true; assert(HAS(me)) }; OWN(lock = false); leave()
#endif
#if BRACKETS
    :: in_bracket()
#endif
#if MUTEX
    :: OWN(insys[me] = true);
       atomic { FREE && !mutex -> mutex = true; insys[me] = false };
       OWN(mutex = false)
#endif
#if SYSCALLS
    :: OWN(insys[me] = true); OWN(insys[me] = false)
#endif
    fi;
    enter(); /* the end: inside for good */
    OWN(disown_p(me, pp));
    atomic { FREE && !lock -> pass_on(pp) };
    atomic { FREE -> ended[me] = true; alive-- }
}

/* ---- its handler ---- */

proctype handler(byte me) {
    byte next, pp = NONE;
    bool kept;
end:
    do
    :: atomic { sig[me] && !ended[me] -> sig[me] = false; handling[me] = true };
        if
        :: inrt[me] || late[me] || bracket[me] || !preempt[me]
        :: else ->
            store_inrt(ALWAYS);
#ifndef BREAK_ASKED
            if
            :: stolen[me] == ASKED -> atomic { drain(me); unASK }
            :: else
            fi;
#endif
            atomic { drain(me) };
            if
            :: stolen[me] == TAKEN && insys[me]
            :: stolen[me] == TAKEN && !insys[me] ->
                preempt[me] = false;
                come_back(ALWAYS)
            :: else ->
                preempt[me] = false;
                if
                :: empty(global)
                :: nempty(global) && insys[me] ->
                    atomic { assert(HAS(me)); oldp[me] = mpp[me] };
                    stolen[me] = TAKEN;
                    mpp[me] = NONE;
                    atomic { owner[oldp[me]] = NONE; status[oldp[me]] = SYSCALL }
                :: nempty(global) && !insys[me] -> requeue(ALWAYS)
                fi
            fi;
            inrt[me] = false
        fi;
        handling[me] = false
    :: ended[me] -> break
    od
}

/* ---- sysmon ---- */

inline tell(i) {
    preempt[i] = true;
    if
    :: !inrt[i] -> sig[i] = true
    :: else
    fi
}

#define TIMED(i) (!(preempt[i] && (sig[i] || inrt[i])) && mpp[i] != NONE && stolen[i] == 0 && nempty(global))
#define COMPUTES(i) (stolen[i] == TAKEN && !insys[i] && !sig[i] && !inrt[i] && !ended[i])
#ifdef ANY_TIME
#define OTHERS_WAIT (true)
#else
#define OTHERS_WAIT (nempty(global))
#endif
#define MAY_TAKE(i) (OTHERS_WAIT && status[i] == RUNNING && pm[i] != NONE && !inrt[pm[i]] && !bracket[pm[i]] && stolen[pm[i]] == 0)

inline retake(i) {
#ifdef BREAK_CAS
    atomic { stolen[m] = (stolen[m] == 0 -> ASKED : stolen[m]) };
#else
    atomic {
        if
        :: stolen[m] == 0 -> stolen[m] = ASKED
        :: else
        fi
    };
#endif
#ifndef BREAK_FENCE
    atomic { drain(m) };
#endif
    ok = true;
#ifndef BREAK_INRT
    ok = !inrt[m];
#endif
#ifndef BREAK_P
    if
    :: ok -> ok = (mpp[m] == i)
    :: else
    fi;
#endif
    if
    :: ok -> ok = (status[i] == RUNNING && !bracket[m])
    :: else
    fi;
#ifdef BREAK_CAS
    if
    :: ok -> ok = (stolen[m] == ASKED)
    :: else
    fi;
#endif
    atomic {
        if
#ifdef BREAK_CAS
        :: ok -> stolen[m] = TAKEN
#else
        :: ok && stolen[m] == ASKED -> stolen[m] = TAKEN
#endif
        :: else ->
            ok = false;
            if
            :: stolen[m] == ASKED -> stolen[m] = 0
            :: else
            fi
        fi;
        if
        :: ok ->
            assert(owner[i] == m && mpp[m] == i);
            owner[i] = NONE;
            taken[m] = i
        :: else
        fi
    };
    if
    :: ok -> atomic { pm[i] = NONE; status[i] = TRANSIT; pp = i; ok = false };
       atomic { !lock -> pass_on(pp) }
    :: else
    fi
}

#define WATCH(i) \
    :: atomic { tells < TELLS && (TIMED(i) || COMPUTES(i)) -> m = i; tells++ }; tell(m); m = 0
#define TAKE(i) \
    :: atomic { MAY_TAKE(i) -> m = pm[i]; n = i }; retake(n); m = 0; n = 0 \
    :: atomic { status[i] == SYSCALL -> status[i] = TRANSIT; pm[i] = NONE; pp = i }; \
       atomic { !lock -> pass_on(pp) }

proctype sysmon() {
    byte next, m, n, tells, pp = NONE;
    bool ok;
    do
    WATCH(0)
    WATCH(1)
#if NM > 2
    WATCH(2)
#endif
    TAKE(0)
#if NP > 1
    TAKE(1)
#endif
    :: alive == 0 -> break
    od
}

init {
    byte i;
    atomic {
        for (i : 0 .. NP - 1) {
            status[i] = RUNNING;
            pm[i] = i;
            owner[i] = i
        }
        for (i : 0 .. NM - 1) {
            oldp[i] = NONE;
            offer[i] = NONE;
            taken[i] = NONE;
            mpp[i] = NONE;
            if
            :: i < NP -> mpp[i] = i
            :: else -> inrt[i] = true; global!i
            fi
        }
        for (i : 0 .. NM - 1) {
            run thread(i);
            if
            :: TELLS != 0 -> run handler(i)
            :: else
            fi
        }
        run sysmon()
    }
}
