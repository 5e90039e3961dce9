/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller among the Ms (src/sched/netpoll.c, src/sched/idle.c): no event is left with the poller
 * while its waiter waits, a P is idle and every M sleeps; no near timer is slept over; the deadlock
 * report comes when nothing can happen any more, and not before.
 *
 * NP Ps, NM Ms, and the thread of a goroutine that is locked to it (LOCKED). At first each P's M runs
 * a goroutine and the other Ms are about to look whether there is something to watch for. A goroutine
 * waits for a descriptor (WAITS in all), arms a near timer (ARM, once), makes another goroutine
 * (ITEMS), readies the locked one (once), ends, or computes for ever without a call (COMPUTE, one);
 * which, and when, is open. With BASE=FAR there is a timer far away that matters to nobody, but has
 * to be watched; with BASE=0 there is none. The first who waits opens the poller. A registered
 * descriptor has its event, and the near timer is due, at any moment later.
 *
 *   wait      registered; netwaiters++; if there is no keeper and an idle P, wakep
 *   arm       the heap's first time; until, timekeeper; wakep as above, or wake the keeper
 *   collect   by an M with a P: netready = 0, all events, their waiters queued
 *   search    due timers, netready, queues, the poller if nobody keeps watch, others' queues
 *   idle      P given up; nmspinning--; a look at the queues; as the keeper, if there is something to
 *             watch for and no keeper; else asleep until a P is handed to it
 *   keep      keeper_wake = 0; until = the earliest timer, looked at twice; a sleep that ends by the
 *             timer or keeper_wake, and once the poller is open by the timer, an event or the bell;
 *             timekeeper = 0; an idle P, or the note netready
 *   hand off  the P of the locked goroutine that waits: to an M where there is work or nobody looks
 *             for any; else it is idle, and a keeper is needed if there is something to watch for
 *
 * Memory is sequentially consistent here, and may be: what two sides look at crosswise (netwaiters,
 * timekeeper, npidle, keeper_wake, the first time, the poller being open) is changed by
 * read-modify-writes and sequentially consistent stores, and read likewise or after a full fence.
 * Where an order matters there is a mutation that turns it round. What is done with the scheduler's
 * lock held is one step. The queues are one: idle.pml is about them.
 *
 * Checked when nothing moves any more, unless every P has a goroutine that computes (the monitor
 * preempts those): no event, no near timer, no runnable goroutine is left; and the deadlock was
 * reported if no goroutine computes. Checked at the report: nobody waits, nothing is runnable, no near
 * timer is armed.
 *
 * Broken on purpose (each must be found):
 *   -DBREAK_COUNT      a waiter looks for the keeper before it is counted
 *   -DBREAK_WAITER     … or does not look
 *   -DBREAK_WATCH      an idle M asks whether there is something to watch for before it gives the P up
 *   -DBREAK_HANDOFF    the thread of a locked goroutine leaves an idle P to nobody
 *   -DBREAK_NOTE       a keeper that finds no idle P leaves no note and does not make way for another
 *   -DBREAK_BELL       whoever wakes the keeper rings no bell
 *   -DBREAK_FUTEX      who opens the poller does not wake the keeper
 *   -DBREAK_KEEPING    that a keeper counts as asleep is a flag: the one before takes it off the next
 *   -DBREAK_REPORT     the report does not ask for waiters
 *
 * -DBREAK_OPEN (who opens the poller rings only if nobody else had woken the keeper) loses a timer, too,
 * but takes three Ms at one moment, which a search of minutes does not get to: no test looks for it.
 *
 * Left out: the monitor, stops of the world, cancelled waits (they end by a goroutine that runs), the
 * end of the run. That a thread is made when none sleeps is a wait for one here.
 */
#ifndef NP
#define NP 2
#endif
#ifndef NM
#define NM (NP + 1)
#endif
#ifndef WAITS
#define WAITS 1
#endif
#ifndef ITEMS
#define ITEMS 1
#endif
#ifndef ARM
#define ARM 1
#endif
#ifndef LOCKED
#define LOCKED 1
#endif
#ifndef COMPUTE
#define COMPUTE 1
#endif
#ifndef BASE
#define BASE FAR
#endif

#define NO_P NP
#define NEAR 1
#define FAR 2

byte npidle;        /* Ps are alike: a number stands for the list */
byte nmspinning;
byte asleep;        /* Ms asleep … */
byte granted;       /* … and of those, how many were handed a P to run, … */
byte granted_spin;  /* … or to look for work */
byte fresh, woken;  /* runnable: new ones, those whose wait is over */
bool locked_ready;  /* the locked one is */
bool locked_granted;
byte nm = NM;       /* Ms, with the locked one's thread once it is there */
byte nmblocked;
byte keeping;
byte netwaiters;
bool netready, polling, open, timekeeper, keeper_wake, bell;
byte first, until; /* the earliest timer */
bool due;
bool reported;

byte registered, events; /* without an event, with one */
bool locked_registered, locked_event;

byte waits = WAITS, items = ITEMS;
bool may_arm = ARM, may_lock = LOCKED;
bool may_compute = COMPUTE;
byte forever;

#define WORK (fresh + woken + locked_ready)
#define EVENTS (events + locked_event)

inline check_deadlock(awake) { /* in a step that holds the lock */
    if
#ifndef BREAK_REPORT
    :: netwaiters != 0
#endif
    :: nm - asleep - nmblocked - keeping > awake
    :: npidle != NP
    :: WORK > 0 || first == NEAR
    :: else ->
        assert(registered + locked_registered + EVENTS == 0);
        assert(granted + granted_spin + locked_granted == 0);
        reported = true
    fi
}

inline start_m(spin) { /* the caller gives up the P that it hands on */
    atomic {
        asleep > 0 -> asleep--;
        if
        :: spin -> granted_spin++
        :: else -> granted++
        fi
    }
}

inline wakep() {
    atomic {
        if
        :: nmspinning == 0 -> nmspinning = 1; won = true
        :: else
        fi
    }
    if
    :: !won
    :: else ->
        atomic {
            won = false;
            if
            :: npidle == 0 -> nmspinning--
            :: npidle > 0 && asleep > 0 -> npidle--; asleep--; granted_spin++
            fi
        }
    fi
}

inline need_keeper() {
    if
    :: timekeeper
    :: else ->
        if
        :: npidle == 0
        :: else -> wakep()
        fi
    fi
}

inline more_work() {
    if
    :: npidle == 0 || nmspinning != 0
    :: else -> wakep()
    fi
}

inline wake_keeper() {
    atomic {
        won = !keeper_wake;
        keeper_wake = true
    }
    if
    :: !won
    :: else ->
        won = false;
#ifndef BREAK_BELL
        if
        :: open -> bell = true
        :: else
        fi
#endif
    fi
}

/* `when` is in the heap. */
inline timer_earlier(when) {
    seen = until;
    if
    :: !timekeeper -> need_keeper()
    :: else ->
        if
        :: seen == 0 || when < seen -> wake_keeper()
        :: else
        fi
    fi;
    seen = 0
}

inline open_poller() {
    if
    :: open
    :: else ->
        atomic {
            got = !open;
            open = true
        }
        if
        :: !got
        :: else ->
            got = false;
#ifndef BREAK_FUTEX
            wake_keeper();
#ifndef BREAK_OPEN
            bell = true
#endif
#endif
        fi
    fi
}

inline wait_begins() {
#ifdef BREAK_COUNT
    need_keeper();
    netwaiters++
#else
    netwaiters++;
#ifndef BREAK_WAITER
    need_keeper()
#endif
#endif
}

inline collect() {
    atomic {
        if
        :: open && !polling -> polling = true; won = true
        :: else
        fi
    }
    if
    :: !won
    :: else ->
        won = false;
        netready = false;
        atomic {
            n = events;
            events = 0;
            locked_mine = locked_event;
            locked_event = false
        }
        polling = false;
        do
        :: n > 0 -> n--; woken++; again = true; more_work()
        :: n == 0 && locked_mine ->
            locked_mine = false; locked_ready = true; again = true; more_work()
        :: n == 0 && !locked_mine -> break
        od
    fi
}

inline run_timers() {
    atomic {
        if
        :: first == NEAR && due -> first = BASE; due = false
        :: else
        fi
    }
}

inline take() {
    atomic {
        if
        :: locked_ready -> locked_ready = false; locked_mine = true; won = true
        :: !locked_ready && woken > 0 -> woken--; resumed = true; won = true
        :: !locked_ready && woken == 0 && fresh > 0 -> fresh--; won = true
        :: else
        fi
    }
}

proctype machine(bool running_one) {
    bool spinning, won, got, again, resumed, locked_mine, ready, worth, front;
    byte n, seen;
    if
    :: running_one -> running_one = false; goto running
    :: else -> goto without_p
    fi;

search:
    again = false;
    run_timers();
    if
    :: netready -> collect()
    :: else
    fi;
    if
    :: front -> front = false; goto found
    :: else
    fi;
    take();
    if
    :: won -> won = false; goto found
    :: else
    fi;
    if
    :: netwaiters != 0 && (!timekeeper || netready) ->
        collect();
        if
        :: again -> goto search
        :: else
        fi
    :: else
    fi;
    if
    :: !spinning && 2 * nmspinning >= NP - npidle -> goto give_up
    :: else
    fi;
    atomic {
        if
        :: !spinning -> spinning = true; nmspinning++
        :: else
        fi
    }
    take();
    if
    :: won -> won = false; goto found
    :: else
    fi;

give_up:
#ifdef BREAK_WATCH
    worth = first != 0 || netwaiters != 0;
#endif
    atomic {
        if
        :: WORK > 0 -> goto search
        :: else -> npidle++
        fi
    }
    atomic {
        if
        :: spinning -> spinning = false; nmspinning--
        :: else
        fi
    }
    if
    :: WORK == 0
    :: else ->
        atomic {
            if
            :: npidle > 0 -> npidle--; nmspinning++; spinning = true; goto search
            :: else
            fi
        }
    fi;
without_p:
#ifndef BREAK_WATCH
    worth = first != 0 || netwaiters != 0;
#endif
    if
    :: !worth -> goto stop
    :: else
    fi;
    worth = false;
    atomic {
        if
        :: timekeeper -> goto stop
        :: else -> timekeeper = true
        fi
    }
    atomic {
#ifdef BREAK_KEEPING
        keeping = 1;
#else
        keeping++;
#endif
        check_deadlock(0)
    }
    do
    :: keeper_wake = false;
        until = first;
        seen = first;
        if
        :: seen != 0 && (until == 0 || seen < until)
        :: else -> break
        fi
    od;
    seen = 0;
    if
    :: until == 0 && netwaiters == 0 -> goto awake
    :: else
    fi;
    if
    :: keeper_wake -> goto awake
    :: else
    fi;
    if
    :: open ->
end_poller:
        atomic {
            EVENTS > 0 || bell || (until == NEAR && due) ->
            ready = EVENTS > 0;
            bell = false
        }
    :: else ->
end_futex:
        (keeper_wake || (until == NEAR && due))
    fi;

awake:
    until = 0;
#ifdef BREAK_NOTE
    if
    :: ready && npidle == 0 -> ready = false; goto stop
    :: else
    fi;
#endif
    timekeeper = false;
    atomic {
#ifdef BREAK_KEEPING
        keeping = 0;
#else
        keeping--;
#endif
        if
        :: npidle > 0 -> npidle--; got = true
        :: else
        fi
    }
    if
    :: got ->
        got = false;
        atomic { spinning = true; nmspinning++ }
        if
        :: ready -> ready = false; collect()
        :: else
        fi;
        goto search
    :: else ->
        if
        :: ready -> ready = false; netready = true
        :: else
        fi
    fi;

stop:
    atomic {
        worth = false;
        check_deadlock(1);
        asleep++
    }
end_asleep:
    atomic {
        if
        :: granted > 0 -> granted--
        :: granted_spin > 0 -> granted_spin--; spinning = true
        fi
    }
    goto search;

found:
    if
    :: !spinning
    :: else ->
        atomic { spinning = false; nmspinning-- }
        wakep()
    fi;
    if
    :: locked_mine -> /* its thread gets the P */
        atomic { locked_mine = false; nmblocked--; locked_granted = true }
        goto stop
    :: else
    fi;
    if
    :: resumed -> resumed = false; netwaiters--
    :: else
    fi;

running:
    do
    :: atomic { waits > 0 -> waits-- }
        open_poller();
        registered++;
        wait_begins();
        goto search
    :: atomic { may_arm -> may_arm = false }
        first = NEAR;
        timer_earlier(NEAR)
    :: atomic { items > 0 && !front -> items--; front = true } /* this M's next: it wakes nobody */
    :: atomic { items > 0 -> items--; fresh++ }
        more_work()
    :: atomic { may_lock -> may_lock = false; nm++; nmblocked++; locked_ready = true }
        more_work()
    :: goto search
    :: atomic { may_compute -> may_compute = false; forever++ } goto end_forever
    od;
end_forever:
    false
}

inline hand_off() {
    if
    :: WORK > 0 -> start_m(false)
    :: else ->
        atomic {
            if
            :: NP > 1 && nmspinning + npidle == 0 -> nmspinning = 1; got = true
            :: else
            fi
        }
        if
        :: got -> got = false; start_m(true)
        :: else ->
            atomic {
                if
                :: WORK > 0 -> got = true
                :: else -> npidle++
                fi
            }
            if
            :: got -> got = false; start_m(false)
            :: else ->
#ifndef BREAK_HANDOFF
                n = first;
                if
                :: n != 0 -> timer_earlier(n)
                :: n == 0 && netwaiters != 0 -> need_keeper()
                :: else
                fi;
                n = 0
#endif
            fi
        fi
    fi
}

/* The thread of the locked goroutine: one wait, and it ends. */
active proctype thread() {
    bool won, got;
    byte n, seen;
end_unborn:
    atomic { locked_granted -> locked_granted = false }
    open_poller();
    locked_registered = true;
    wait_begins();
    hand_off();
    atomic { check_deadlock(1); nmblocked++ }
end_parked:
    atomic { locked_granted -> locked_granted = false }
    netwaiters--;
    hand_off();
    atomic { check_deadlock(1); nm-- }
}

active proctype world() {
end:
    do
    :: atomic { registered > 0 -> registered--; events++ }
    :: atomic { locked_registered -> locked_registered = false; locked_event = true }
    :: atomic { first == NEAR && !due -> due = true }
    od
}

active proctype watch() {
end:
    atomic {
        timeout ->
        assert(npidle + forever == NP);
        assert(nmspinning == 0);
        assert(forever == NP || (WORK == 0 && EVENTS == 0 && first != NEAR));
        assert(forever > 0 || (netwaiters == 0 && reported))
    }
}

init {
    atomic {
        byte i = 0;
        first = BASE;
        do
        :: i == NM -> break
        :: else -> run machine(i < NP); i++
        od
    }
}
