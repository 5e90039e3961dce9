/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No work is left with an idle P and nobody awake (src/sched/idle.c): submitters, spinners, Ms that
 * go idle.
 *
 * NP Ps and NM Ms. M0 starts with a P and a goroutine, the others asleep. A goroutine submits a new
 * one (ITEMS in all; to its P's ring, or past it to the global queue), ends, or computes for ever
 * without a call; which, and when, is open. An M goes through what src/sched/idle.c says:
 *
 *   submit    put; fence; if there is an idle P and no spinner, wakep
 *   wakep     nmspinning 0 -> 1; an idle P, under the lock, for a sleeping M; or needspinning
 *   search    own ring, global queue, others' rings if it may spin
 *   found     a spinner that found work stops spinning and calls wakep
 *   give up   the P, under the lock, after a look at the global queue and at needspinning
 *   recheck   nmspinning-- if it was spinning, a full fence, a look at all queues; with work and an
 *             idle P it goes on
 *
 * Memory. SPIN's is sequentially consistent, which is just what this protocol must not count on. So
 * each M has a store buffer of one entry, emptied at any time later, as on x86: what it puts into a
 * ring or takes off nmspinning is seen by others only then. A fence, a lock and a compare-and-swap
 * wait until it is empty. (The processors that also reorder loads need fences at the same two places.)
 *
 * Checked when nothing moves any more: if work is queued, every P has an M that computes; and
 * nmspinning is what it should be, 0. Ms that would sleep without end beside work show up here.
 *
 * Broken on purpose (each must be found):
 *   -DBREAK_SUBMIT    no fence between the put and the look at idle Ps and spinners
 *   -DBREAK_IDLE      no fence between nmspinning-- and the second look
 *   -DBREAK_RECHECK   no second look
 *   -DBREAK_IDLER     a second look by spinners only. Another M may have kept this one from spinning
 *                     by the nmspinning that wakep holds for a moment and takes back without a look;
 *                     a submitter meanwhile finds no idle P
 *   -DBREAK_FOUND     a spinner that found work wakes nobody in its place (shows with NP=3)
 *
 * -DWITHOUT_NEED leaves needspinning out and is right too: since every M looks once more, it only
 * makes the next one look sooner.
 *
 * Left out: timers, the front slot (by itself it wakes nobody: sched/state.h), bound goroutines,
 * brackets, stops of the world. That a thread is made when none sleeps is a wait for one here.
 */
#ifndef NP
#define NP 2
#endif
#ifndef NM
#define NM NP
#endif
#ifndef ITEMS
#define ITEMS 3
#endif

#define NO_P NP

byte ring[NP];      /* goroutines in it */
byte global;        /* in the global queue */
bool idle[NP];      /* the list of idle Ps; lock */
byte npidle;        /* lock to write */
byte nmspinning;
bool needspinning;
bool lock;

bool asleep[NM];    /* the list of idle Ms; lock */
byte offer[NM];     /* a P handed to a sleeper */
bool spinning[NM];
byte left = ITEMS;  /* goroutines not yet submitted */
byte forever;       /* Ms that compute for ever */

/* The store buffers: 0 empty, p + 1 a put into ring p, DEC one off nmspinning. */
#define DEC 100
byte buffer[NM];
#define STORE(m, what) atomic { buffer[m] == 0 -> buffer[m] = what }
#define FENCE(m) buffer[m] == 0
#define LOCK(m) atomic { !lock && buffer[m] == 0 -> lock = true }
#define UNLOCK lock = false

active proctype memory() {
    byte i;
end:
    do
    :: atomic {
        if
        :: buffer[0] != 0 -> i = 0
        :: buffer[1] != 0 -> i = 1
#if NM > 2
        :: buffer[2] != 0 -> i = 2
#endif
        fi;
        if
        :: buffer[i] == DEC -> nmspinning--
        :: else -> ring[buffer[i] - 1]++
        fi;
        buffer[i] = 0;
        i = 0
    }
    od
}

/* With the lock. */
inline pidle_get(p) {
    d_step {
        if
        :: idle[0] -> p = 0
        :: else ->
            if
            :: idle[1] -> p = 1
            :: else ->
#if NP > 2
                if
                :: idle[2] -> p = 2
                :: else -> p = NO_P
                fi
#else
                p = NO_P
#endif
            fi
        fi;
        if
        :: p != NO_P -> idle[p] = false; npidle--
        :: else
        fi
    }
}

inline start_m(p, q) { /* a sleeping M gets p and spins */
    atomic {
        if
        :: !lock && asleep[0] -> q = 0
        :: !lock && asleep[1] -> q = 1
#if NM > 2
        :: !lock && asleep[2] -> q = 2
#endif
        fi;
        asleep[q] = false;
        spinning[q] = true;
        offer[q] = p;
        q = 0
    }
}

inline wakep(m, won, p2, q) {
    if
    :: nmspinning != 0
    :: else ->
        FENCE(m);
        atomic {
            if
            :: nmspinning == 0 -> nmspinning = 1; won = true
            :: else -> won = false
            fi
        }
        if
        :: !won
        :: else ->
            won = false;
            LOCK(m);
            pidle_get(p2);
            if
            :: p2 == NO_P ->
#ifndef WITHOUT_NEED
                needspinning = true;
#endif
                nmspinning--;
                UNLOCK
            :: else ->
                UNLOCK;
                start_m(p2, q);
                p2 = NO_P
            fi
        fi
    fi
}

inline submit(m, p, won, p2, q) {
    if
    :: STORE(m, p + 1)
    :: LOCK(m); global++; UNLOCK /* the ring is full */
    fi;
#ifndef BREAK_SUBMIT
    FENCE(m);
#endif
    if
    :: npidle == 0
    :: else -> wakep(m, won, p2, q)
    fi
}

inline start_spinning(m) {
    spinning[m] = true;
    FENCE(m);
    nmspinning++;
    needspinning = false
}

proctype machine(byte m; byte p) {
    byte p2 = NO_P, i, q;
    bool won;
    if
    :: p != NO_P -> goto running
    :: else -> goto asleep_now
    fi;

search:
    FENCE(m); /* it sees its own puts in any case */
    atomic {
        if
        :: ring[p] > 0 -> ring[p]--; goto found
        :: else
        fi
    }
    if
    :: global == 0
    :: else ->
        LOCK(m);
        if
        :: global > 0 -> global--; UNLOCK; goto found
        :: else -> UNLOCK
        fi
    fi;
    if
    :: !spinning[m] && 2 * nmspinning >= NP - npidle -> goto give_up
    :: else
    fi;
    if
    :: !spinning[m] -> start_spinning(m)
    :: else
    fi;
    i = 0;
    do
    :: i == NP -> i = 0; break
    :: else ->
        atomic {
            if
            :: ring[i] > 0 -> ring[i]--; i = 0; goto found
            :: else -> i++
            fi
        }
    od;

give_up:
    LOCK(m);
    if
    :: global > 0 -> UNLOCK; goto search
    :: else
    fi;
    if
    :: !spinning[m] && needspinning -> start_spinning(m); UNLOCK; goto search
    :: else
    fi;
    atomic { idle[p] = true; npidle++; p = NO_P }
    UNLOCK;
    if
    :: !spinning[m] ->
#ifdef BREAK_IDLER
        goto asleep_now
#else
        skip
#endif
    :: else ->
        spinning[m] = false;
        STORE(m, DEC);
#ifndef BREAK_IDLE
        FENCE(m)
#endif
    fi;
#ifndef BREAK_RECHECK
    do
    :: i == NP -> break
    :: else ->
        if
        :: ring[i] == 0 -> i++
        :: else ->
            LOCK(m);
            pidle_get(p);
            UNLOCK;
            i = 0;
            if
            :: p == NO_P -> goto asleep_now
            :: else -> start_spinning(m); goto search
            fi
        fi
    od;
    i = 0;
    if
    :: global == 0
    :: else ->
        LOCK(m);
        if
        :: global > 0 -> pidle_get(p)
        :: else
        fi;
        UNLOCK;
        if
        :: p == NO_P
        :: else -> start_spinning(m); goto search
        fi
    fi;
#endif

asleep_now:
    LOCK(m);
    asleep[m] = true;
    UNLOCK;
end_asleep:
    atomic { offer[m] != NO_P -> p = offer[m]; offer[m] = NO_P }
    goto search;

found:
    if
    :: !spinning[m]
    :: else ->
        spinning[m] = false;
        FENCE(m);
        nmspinning--;
#ifndef BREAK_FOUND
        wakep(m, won, p2, q)
#endif
    fi;

running:
    do
    :: atomic { left > 0 -> left-- }
        submit(m, p, won, p2, q)
    :: goto search
    :: forever++; goto end_forever
    od;
end_forever:
    false
}

byte queued;

active proctype watch() {
end:
    atomic {
        timeout ->
        queued = ring[0] + ring[1] + global;
#if NP > 2
        queued = queued + ring[2];
#endif
        assert(queued == 0 || npidle == 0);
        assert(queued == 0 || forever == NP);
        assert(npidle + forever == NP);
        assert(nmspinning == 0)
    }
}

init {
    atomic {
        byte i = 0;
        do
        :: i == NM -> break
        :: else -> offer[i] = NO_P; i++
        od;
        i = 1;
        do
        :: i == NP -> break
        :: else -> idle[i] = true; npidle++; i++
        od;
        run machine(0, 0);
        run machine(1, NO_P);
#if NM > 2
        run machine(2, NO_P)
#endif
    }
}
