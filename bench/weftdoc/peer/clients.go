// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// One request on the connection, and its whole answer. Started is whether a byte of it came.
func ask(c net.Conn, in *bufio.Reader) (closing, started bool, err error) {
	if _, err = io.WriteString(c, request); err != nil {
		return false, false, err
	}
	if _, err = in.Peek(1); err != nil {
		return false, false, err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, true, err
	}
	defer answer.Body.Close()
	if _, err = io.Copy(io.Discard, answer.Body); err != nil {
		return false, true, err
	}
	if answer.StatusCode != http.StatusOK {
		return false, true, fmt.Errorf("status %d", answer.StatusCode)
	}
	return answer.Close, true, nil
}

// Idle opens n connections, asks once on each, says so, and holds them until its stdin ends.
func idle(address string, n int) {
	conns := make([]net.Conn, n)
	limit := make(chan bool, 64)
	var wg sync.WaitGroup
	var failed int64
	for i := range conns {
		wg.Add(1)
		limit <- true
		go func(i int) {
			defer wg.Done()
			c, err := net.Dial("tcp", address)
			if err == nil {
				conns[i] = c
				_, _, err = ask(c, bufio.NewReaderSize(c, 512))
			}
			if err != nil && atomic.AddInt64(&failed, 1) == 1 {
				fmt.Fprintln(os.Stderr, "weftdoc-peer:", err)
			}
			<-limit
		}(i)
	}
	wg.Wait()
	fmt.Printf("%d connections, %d failed\n", n, failed)
	io.Copy(io.Discard, os.Stdin)
	if failed > 0 {
		os.Exit(1)
	}
}

// A client whose head gets a line each second and never ends; how long the server bore it.
func drip(address string, end time.Time) (lasted time.Duration, dropped bool) {
	began := time.Now()
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, false
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\n")
	for time.Now().Before(end) {
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(make([]byte, 512)); n > 0 || (err != nil && !errors.Is(err, os.ErrDeadlineExceeded)) {
			return time.Since(began), true
		}
		io.WriteString(c, "A: b\r\n")
	}
	return time.Since(began), false
}

func loris(address string, n, seconds int) {
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	lasted := make([]time.Duration, n)
	var dropped int64
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			took, was := drip(address, end)
			lasted[i] = took
			if was {
				atomic.AddInt64(&dropped, 1)
			}
		}(i)
	}
	served, failed, slowest := quick(address, end)
	wg.Wait()
	sort.Slice(lasted, func(i, j int) bool { return lasted[i] < lasted[j] })
	fmt.Printf("%d slow clients: %d dropped, after %.1f to %.1f s; meanwhile %d requests served, %d failed, the slowest in %.1f ms\n",
		n, dropped, lasted[0].Seconds(), lasted[n-1].Seconds(), served, failed, slowest.Seconds()*1e3)
	if dropped < int64(n) || failed > 0 {
		os.Exit(1)
	}
}

// A client like any other, meanwhile: a request each 5 ms.
func quick(address string, end time.Time) (served, failed int, slowest time.Duration) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, 1, 0
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for time.Now().Before(end) {
		asked := time.Now()
		if _, _, err := ask(c, in); err != nil {
			return served, 1, slowest
		}
		served++
		if took := time.Since(asked); took > slowest {
			slowest = took
		}
		time.Sleep(5 * time.Millisecond)
	}
	return served, 0, slowest
}

// Watch asks from n connections until the server ends. An answer of which only a part came is what
// must not be.
func watch(address string, n int) {
	var whole, none, broken int64
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for again := true; again; {
				again = watchOne(address, &whole, &none, &broken)
			}
		}()
	}
	wg.Wait()
	fmt.Printf("%d whole answers, %d requests that ended without a byte of one, %d broken answers\n", whole, none, broken)
	if broken > 0 || whole == 0 {
		os.Exit(1)
	}
}

// One connection, to its end; false when the server is gone.
func watchOne(address string, whole, none, broken *int64) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return !errors.Is(err, syscall.ECONNREFUSED)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		closing, started, err := ask(c, in)
		switch {
		case err == nil:
			atomic.AddInt64(whole, 1)
		case started:
			atomic.AddInt64(broken, 1)
			fmt.Fprintln(os.Stderr, "weftdoc-peer:", err)
		default:
			atomic.AddInt64(none, 1)
		}
		if err != nil || closing {
			return true
		}
	}
}
