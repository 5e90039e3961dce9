// SPDX-License-Identifier: Apache-2.0

// Weftdoc-peer is what weftdoc is measured with: Go's net/http serving the same bytes, and clients
// that are many, slow, or watch how a server ends. None of it has any of weft's code.
//
//	weftdoc-peer serve  ORIGIN              copies a server's pages, and serves them on a free port
//	weftdoc-peer idle   ORIGIN N            N keep-alive connections, one request each, then idle
//	weftdoc-peer loris  ORIGIN N SECONDS    N clients whose heads never end, and one that is quick
//	weftdoc-peer watch  ORIGIN N            N clients that ask until the server ends
//
// ORIGIN is http://HOST:PORT. Each prints what it found on stdout and ends with 0, or 1 if it found
// something wrong.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

func usage() {
	fmt.Fprintln(os.Stderr, "usage: weftdoc-peer serve|idle|loris|watch http://HOST:PORT [N [SECONDS]]")
	os.Exit(2)
}

func number(i int) int {
	if i >= len(os.Args) {
		usage()
	}
	n, err := strconv.Atoi(os.Args[i])
	if err != nil || n < 1 {
		usage()
	}
	return n
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "weftdoc-peer:", err)
	os.Exit(1)
}

func main() {
	if len(os.Args) < 3 || !strings.HasPrefix(os.Args[2], "http://") {
		usage()
	}
	origin := strings.TrimSuffix(os.Args[2], "/")
	address := strings.TrimPrefix(origin, "http://")
	switch os.Args[1] {
	case "serve":
		serve(origin)
	case "idle":
		idle(address, number(3))
	case "loris":
		loris(address, number(3), number(4))
	case "watch":
		watch(address, number(3))
	default:
		usage()
	}
}
