/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The park word (src/rt/rt.h, src/sched/wait.h, src/sched/proc.c): one goroutine that waits WAITS
 * times, and all who touch its word.
 *
 *   goroutine   wefti_wait_begin under the object's lock, wefti_wait with its look at the context
 *               and at NOTIFIED, the switch, and what it checks when it runs again
 *   switcher    the M that left its stack: wefti_wait_commit
 *   sender      pops the sudog under the lock, wefti_claim, wefti_ready; as often as there are waits,
 *               at any time, so also when nobody waits
 *   canceller   ends the context once: err, fence, a look at the word, wefti_claim by the ticket it
 *               saw (which may be stale by then), wefti_ready
 *   inspector   holds the stack of a parked goroutine (HELD), lets go, and readies it when a winner
 *               left NOTE
 *
 * Each load, store and compare-and-swap of the word is a step of its own. Any M may take the
 * goroutine from the run queue at any time.
 *
 * Checked, at the places marked so:
 *   one winner     a wait is won exactly once, and the loser touches nothing
 *   queued once    after a wait that was left by a switch the goroutine is queued exactly once,
 *                  after one that was over before it not at all
 *   left stack     nobody runs the goroutine, and no inspector reads its stack, while another M is
 *                  still on it; nobody runs it while an inspector reads
 *   no lost wake   everything ends: a goroutine that stays parked is an invalid end state. All of
 *                  the sender's wake-ups may come too early; the cancel then ends each wait.
 *
 * Broken on purpose, to see that the model would notice (each must be found):
 *   -DBREAK_COMMIT    the commit is a plain store, not a compare-and-swap that looks at NOTIFIED
 *   -DBREAK_EARLY     PARKED is published before the switch (right with one P, wrong with several)
 *   -DBREAK_CLAIM     the claim is a load and a store
 *   -DBREAK_TICKET    the claim does not compare the ticket
 *   -DBREAK_CONTEXT   no look at the context after PARKING was published
 *   -DBREAK_HELD      the winner takes no notice of HELD
 *   -DBREAK_LETGO     the inspector lets go without a look at NOTE
 */
#ifndef WAITS
#define WAITS 2
#endif

#define PARKING 1
#define PARKED 2
#define CLAIMED 4
#define NOTIFIED 8
#define HELD 16
#define NOTE 32
#define SHIFT 6

#define NONE 0 /* no sudog is queued */
#define OK 1
#define CANCELED 2

short word;       /* the park word: ticket << SHIFT | flags */
bool lock;        /* of the object */
byte sudog;       /* ticket of the sudog on the object's queue */
byte wake;        /* the winner's, until ready */
bool err;         /* the context has ended */
byte runq;        /* how often the goroutine is on a run queue */
bool on_stack = true; /* some M is on its stack */
bool reading;     /* the inspector is */
byte over;        /* the last wait that is over */

/* for the checks alone */
byte won[WAITS + 1];
byte queued[WAITS + 1];

chan leave = [0] of { byte }; /* the switch: the M carries on with the post action */

#define LOCK atomic { !lock -> lock = true }
#define UNLOCK lock = false

inline cas(expected, value, done) {
    atomic {
        if
        :: word == expected -> word = value; done = true
        :: else -> expected = word; done = false
        fi
    }
}

inline enqueue(t) {
    atomic {
        runq++;
        queued[t]++;
        assert(runq == 1 && queued[t] == 1) /* queued once */
    }
}

/* wefti_claim: `done` says whether the wait was won. */
inline claim(w, t, done) {
    w = word;
    done = false;
    do
#ifdef BREAK_TICKET
    :: (w & CLAIMED) || (w & (PARKING | PARKED)) == 0 -> break
#else
    :: (w >> SHIFT) != t || (w & CLAIMED) -> break
#endif
    :: else ->
#ifdef BREAK_CLAIM
        word = w | CLAIMED;
        done = true;
#else
        cas(w, w | CLAIMED, done);
#endif
        if
        :: done -> break
        :: else
        fi
    od;
    if
    :: done ->
        atomic {
            won[t]++;
            assert(won[t] == 1 && over < t) /* one winner */
        }
    :: else
    fi
}

/* wefti_ready of a wait that was won: leave_word, then the queue. */
inline ready(w, t, done) {
    w = word;
    done = false;
    do
#ifdef BREAK_HELD
    :: (w & PARKED) -> break
#else
    :: (w & PARKED) && !(w & HELD) -> break
    :: (w & HELD) ->
        cas(w, w | NOTE, done);
        if
        :: done -> break
        :: else
        fi
#endif
    :: !(w & PARKED) && !(w & HELD) ->
        cas(w, w | NOTIFIED, done);
        if
        :: done -> break
        :: else
        fi
    od;
    if
    :: done /* its own M or the inspector queues it */
    :: else ->
        word = 0;
        enqueue(t)
    fi
}

proctype goroutine() {
    short w;
    byte t = 1;
    bool done, ended, switched;
    do
    :: t > WAITS -> break
    :: else ->
        LOCK;
        word = (t << SHIFT) | PARKING;
        sudog = t;
        UNLOCK;
        ended = false;
        switched = false;
#ifndef BREAK_CONTEXT
        if
        :: err -> /* after a fence; wefti_wait_retract */
            claim(w, t, ended);
            if
            :: ended -> word = 0; wake = CANCELED
            :: else
            fi
        :: else
        fi;
#endif
        if
        :: ended
        :: else ->
            w = word;
            if
            :: (w & NOTIFIED) -> word = 0
            :: else ->
                switched = true;
#ifdef BREAK_EARLY
                do
                :: cas(w, (w & ~PARKING) | PARKED, done);
                    if
                    :: done -> break
                    :: else
                    fi
                od;
#endif
                leave ! t;
                atomic {
                    runq > 0 -> runq--;
                    assert(!on_stack && !reading); /* left stack */
                    on_stack = true
                }
            fi
        fi;
        atomic {
            over = t;
            assert(won[t] == 1); /* one winner */
            assert(queued[t] == (switched -> 1 : 0)); /* queued once */
            assert(word == 0 && wake != NONE)
        }
        if
        :: wake == CANCELED -> /* its sudog may still be queued */
            LOCK;
            if
            :: sudog == t -> sudog = NONE
            :: else
            fi;
            UNLOCK
        :: else -> assert(sudog != t)
        fi;
        wake = NONE;
        t++
    od;
    leave ! 0
}

proctype switcher() {
    short w;
    byte t;
    bool done;
    do
    :: leave ? t ->
        if
        :: t == 0 -> break
        :: else
        fi;
        on_stack = false; /* the context is saved */
#ifndef BREAK_EARLY
        w = word;
        do
        :: (w & NOTIFIED) ->
            word = 0;
            enqueue(t);
            break
        :: else ->
#ifdef BREAK_COMMIT
            word = (w & ~PARKING) | PARKED;
            break
#else
            cas(w, (w & ~PARKING) | PARKED, done);
            if
            :: done -> break
            :: else
            fi
#endif
        od
#endif
    od
}

proctype sender() {
    short w;
    byte t, sent = 0;
    bool done;
    do
    :: sent == WAITS -> break
    :: else ->
        sent++;
        LOCK;
        t = sudog;
        done = false;
        if
        :: t != NONE -> sudog = NONE; claim(w, t, done)
        :: else
        fi;
        UNLOCK;
        if
        :: done ->
            atomic { assert(over < t); wake = OK };
            ready(w, t, done)
        :: else
        fi
    od
}

proctype canceller() {
    short w;
    byte t;
    bool done;
    err = true; /* then a fence */
    w = word;
    if
    :: (w & (PARKING | PARKED)) && !(w & CLAIMED) ->
        t = w >> SHIFT;
        claim(w, t, done);
        if
        :: done ->
            atomic { assert(over < t); wake = CANCELED };
            ready(w, t, done)
        :: else
        fi
    :: else
    fi
}

proctype inspector() {
    short w;
    byte t, looks = 0;
    bool done;
    do
    :: looks == WAITS -> break
    :: else ->
        looks++;
        w = word;
        done = false;
        if
        :: (w & PARKED) && !(w & CLAIMED) -> cas(w, w | HELD, done)
        :: else
        fi;
        if
        :: !done
        :: else ->
            t = w >> SHIFT;
            atomic { reading = true; assert(!on_stack) }; /* left stack */
            assert(!on_stack);
            reading = false;
            w = word;
            do
#ifndef BREAK_LETGO
            :: (w & NOTE) ->
                word = 0;
                enqueue(t);
                break
#endif
            :: else ->
                cas(w, w & ~HELD, done);
                if
                :: done -> break
                :: else
                fi
            od
        fi
    od
}

init {
    atomic {
        run goroutine();
        run switcher();
        run sender();
        run canceller();
        run inspector()
    }
}
