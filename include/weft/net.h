/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/net.h: listening, dialling, accepting; addresses as text; names.
 *
 * A network and an address are texts, as in Go:
 *
 *   "tcp"   "127.0.0.1:6060"  "[::1]:80"  "example.org:https"  ":6060"
 *   "udp"   the same
 *   "unix"  "/run/prog.sock"  "@abstract"  (@: a name in Linux's name space for them)
 *
 * The port is a number or a service's name. Port 0 has the kernel choose one, which weft_local_addr
 * tells. An empty host, as in ":6060", means every address of the machine, IPv4 and IPv6, to listen
 * on, and this machine to dial. An IPv6 address stands in brackets, with its zone where it needs
 * one: "[fe80::1%eth0]:80". "tcp4", "tcp6", "udp4" and "udp6" keep to one family. Of Unix sockets
 * "unix" is a stream, "unixgram" has datagrams, and "unixpacket" connections that keep messages
 * apart. For "@" alone the kernel chooses a name.
 *
 * The descriptors that these calls make are weft's own: see the head of weft/io.h, where turns,
 * deadlines and closing are described. System calls that don't block and don't close, such as
 * setsockopt(2), may be used on them.
 */
#ifndef WEFT_NET_H
#define WEFT_NET_H

#include <netdb.h>
#include <sys/socket.h>
#include <weft/base.h>
#include <weft/io.h>

WEFT_BEGIN_DECLS

/* <netdb.h> hides it from strict ISO C. */
struct addrinfo;

/*
 * struct weft_listen_opts: how weft_listen_with listens. Zero in a field means the default.
 */
struct weft_listen_opts {
    int backlog;    /* connections that wait to be accepted; 0: as many as the system allows */
    bool reuseport; /* several listeners on one address share its connections */
    unsigned mode;  /* of a Unix socket's file; 0: what umask leaves */
};

/*
 * weft_listen makes a socket that listens on an address; with "udp", one that receives there. A TCP
 * listener has SO_REUSEADDR, so that a server can be started again at once.
 *
 * A Unix socket's file stays when the listener is closed. One that nobody listens on any more, a
 * dead server's, is replaced; nothing else that is there is. An abstract name goes with its last
 * descriptor. What is accepted has TCP_NODELAY and keep-alive probes, as in Go.
 *
 * Traits:  parks for a host's name (weft_getaddrinfo), cancellable, and not for a number; any
 *          thread, any time; allocates.
 * Returns: the descriptor, to be closed by weft_close; or -1 with errno.
 * Errors:  EADDRINUSE     somebody else listens there; or the path is another file's.
 *          EADDRNOTAVAIL  the address is not one of this machine's.
 *          EACCES         the port, or the socket's folder, is not for this user.
 *          EINVAL         no such network or service; an address that can't be read, or is of
 *                         another family; a Unix socket's path of over 107 bytes.
 *          ENOENT         no such host; or the socket's folder doesn't exist.
 *          ENODEV         no such zone.
 *          EAGAIN         the name server has no answer now; EIO: it failed.
 *          ECANCELED, ETIMEDOUT   the goroutine's context ended during the look-up.
 *          EAFNOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTDIR, EROFS   as socket(2), bind(2).
 * Example: int fd = weft_listen("tcp", "127.0.0.1:6060");
 * See:     weft_accept, weft_listen_with, weft_local_addr.
 * From:    Go, net.Listen, net.ListenPacket.
 */
WEFT_API int weft_listen(const char *network, const char *address);

/*
 * weft_listen_with listens as weft_listen does, with options; NULL stands for all defaults.
 *
 * With reuseport the kernel spreads connections over all listeners of one address whose processes
 * belong to one user: one for each worker of a prefork server.
 *
 * Traits:  as weft_listen.
 * Returns: as weft_listen.
 * Errors:  as weft_listen; EINVAL also for a backlog below 0 or a mode over 0777; EOPNOTSUPP for
 *          reuseport with a Unix socket.
 * Example: weft_listen_with(&(struct weft_listen_opts){.reuseport = true}, "tcp", ":80");
 * See:     weft_listen.
 * From:    Go, net.ListenConfig.
 */
WEFT_API int weft_listen_with(const struct weft_listen_opts *opts, const char *network,
                              const char *address);

/*
 * weft_dial connects to an address. A host's several addresses are tried one after the other, and
 * where it has both families and the first has not answered in 300 ms, one of each at a time. The
 * first connection wins; when all fail the error is that of the first. Nothing of a dial goes on
 * after it has returned. With "udp" nothing is sent: the socket's peer is set. A TCP connection has
 * TCP_NODELAY and keep-alive probes, as in Go.
 *
 * A time-out for all of it is the context's: weft_scope_timeout. It is shared out among the
 * addresses, so that a dead one doesn't eat it up.
 *
 * Traits:  parks ("IO wait", or "select" where it tries two at a time), cancellable; any thread,
 *          any time; allocates.
 * Returns: the connected descriptor, to be closed by weft_close; or -1 with errno.
 * Errors:  ECONNREFUSED   nobody listens there.
 *          ETIMEDOUT      no answer came, or the deadline of the goroutine's context has passed.
 *          ECANCELED      the goroutine's context was cancelled.
 *          EHOSTUNREACH, ENETUNREACH, ECONNRESET   as connect(2).
 *          EINVAL         no such network or service; an address that can't be read, or is of
 *                         another family; a Unix socket's path of over 107 bytes.
 *          ENOENT         no such host; or no such file, with "unix".
 *          ENODEV         no such zone.
 *          EAGAIN         the name server has no answer now; EIO: it failed.
 *          EACCES, EADDRNOTAVAIL, EAFNOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM,
 *          EPROTOTYPE   as socket(2), connect(2).
 * Order:   as weft_read: the network orders no memory.
 * Example: { weft_scope_timeout(5 * WEFT_SECOND); fd = weft_dial("tcp", "example.org:80"); }
 * See:     weft_listen, weft_connect, weft_getaddrinfo.
 * From:    Go, net.Dial.
 */
WEFT_API int weft_dial(const char *network, const char *address);

/*
 * weft_accept takes the next connection of a listener, weft's own or a foreign one. Any number of
 * goroutines may accept on one listener; each connection goes to one of them.
 *
 * Connections that ended before they were accepted are passed over. When descriptors or memory run
 * out it doesn't fail: it waits 5 ms, then twice that, up to a second, and tries again, so a server
 * lives through the peak; those who have closed something are what it waits for.
 *
 * Traits:  parks ("IO wait", or "sleep" where it backs off), cancellable; any thread, any time;
 *          allocates.
 * Returns: the connected descriptor, to be closed by weft_close; or -1 with errno.
 * Errors:  EBADF      fd is not open, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the read deadline of fd, or that of the goroutine's context, has passed, even
 *                     when a connection is there.
 *          EINVAL     fd does not listen, or was shut down.
 *          ENOTSOCK, EOPNOTSUPP   fd is no socket, or of a kind that has no connections.
 *          ENOMEM, ENOSPC   the wait could not be registered (foreign descriptors).
 *          EPERM      a firewall forbids it.
 * Example: while ((conn = weft_accept(fd)) >= 0) weft_go(serve, conn);
 * See:     weft_listen, weft_remote_addr, weft_set_read_deadline.
 * From:    POSIX, accept; Go, net.Listener.Accept, with net/http's back-off.
 */
WEFT_API int weft_accept(int fd);

/*
 * weft_connect connects a socket of socket(2)'s to an address and returns when it is connected.
 * weft_dial does it all.
 *
 * A foreign socket that is blocking has no call that only tries: there the thread waits, as in
 * weft_block(). Make the socket with SOCK_NONBLOCK to have the goroutine park. When the wait was
 * ended early the attempt goes on in the kernel: call again to wait on, or close.
 *
 * Traits:  parks ("IO wait"), cancellable, but for a blocking foreign socket; any thread, any time;
 *          no memory.
 * Returns: 0, or -1 with errno.
 * Errors:  EBADF      fd is not open, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  no answer came; or the write deadline of fd, or that of the goroutine's
 *                     context, has passed.
 *          ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ECONNRESET   no connection.
 *          EISCONN    it is connected already.
 *          ENOTSOCK   fd is no socket.
 *          ENOMEM, ENOSPC   the wait could not be registered (foreign descriptors).
 *          EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EFAULT, EINVAL, ENOENT, EPERM,
 *          EPROTOTYPE   as connect(2).
 * See:     weft_dial.
 * From:    POSIX, connect.
 */
WEFT_API int weft_connect(int fd, const struct sockaddr *addr, socklen_t len);

/*
 * weft_shutdown ends one direction of a connection, or both: SHUT_RD, SHUT_WR, SHUT_RDWR. After
 * SHUT_WR the peer reads the end of the file and may go on to write; after SHUT_RD reads return 0.
 * Those who wait on the descriptor wake accordingly. The descriptor stays open.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: 0, or -1 with errno.
 * Errors:  EBADF     fd is not open, or is being closed.
 *          EINVAL    how is none of the three.
 *          ENOTCONN, ENOTSOCK   fd is not connected, or no socket.
 * Example: weft_shutdown(fd, SHUT_WR); while ((n = weft_read(fd, buf, sizeof buf)) > 0) ...
 * See:     weft_close.
 * From:    POSIX, shutdown; Go, net.TCPConn.CloseWrite, CloseRead.
 */
WEFT_API int weft_shutdown(int fd, int how);

/*
 * weft_local_addr writes a socket's own address as text, in the form that weft_listen and weft_dial
 * take: "127.0.0.1:6060", "[::1]:80", "/run/prog.sock", "@abstract"; "" for a Unix socket without a
 * name.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: 0, with text, of n bytes, ended by a NUL; or -1 with errno.
 * Errors:  EBADF         fd is not open, or is being closed.
 *          ENOTSOCK      fd is no socket.
 *          ERANGE        n is too small. 128 is enough for every address.
 *          EAFNOSUPPORT  an address of a family that has no such text.
 * Example: char text[128]; if (weft_local_addr(fd, text, sizeof text) == 0) puts(text);
 * See:     weft_remote_addr, weft_listen.
 * From:    POSIX, getsockname; Go, net.Listener.Addr.
 */
WEFT_API int weft_local_addr(int fd, char *text, size_t n);

/*
 * weft_remote_addr writes the address of a socket's peer as text, as weft_local_addr its own.
 *
 * Traits:  never parks; any thread, any time; no memory.
 * Returns: 0, with text, of n bytes, ended by a NUL; or -1 with errno.
 * Errors:  as weft_local_addr; ENOTCONN fd has no peer, or none any more.
 * See:     weft_local_addr, weft_accept.
 * From:    POSIX, getpeername; Go, net.Conn.RemoteAddr.
 */
WEFT_API int weft_remote_addr(int fd, char *text, size_t n);

/*
 * weft_getaddrinfo looks up names as getaddrinfo(3) does, by the C library, with all that the
 * machine's nsswitch.conf names.
 *
 * Numbers are answered at once. Anything else is looked up by a goroutine of its own that blocks
 * its thread ("getaddrinfo" in dumps), 64 of them at once at most; more wait for their turn. When
 * the caller's context ends the call returns at once, and the look-up is left to end by itself. A
 * thread that is no goroutine asks the C library itself.
 *
 * Traits:  parks ("semacquire" for the turn, "chan receive" for the answer), cancellable; any
 *          thread, any time; allocates.
 * Returns: 0, with *res, to be freed by freeaddrinfo(3); or one of the EAI_ values, which
 *          gai_strerror(3) explains.
 * Errors:  EAI_SYSTEM   with errno: ECANCELED, ETIMEDOUT the goroutine's context ended; or what the
 *                       C library met.
 *          EAI_AGAIN    the name server has no answer now.
 *          EAI_NONAME, EAI_SERVICE   no such host, no such service.
 *          EAI_MEMORY   no memory.
 *          EAI_BADFLAGS, EAI_FAIL, EAI_FAMILY, EAI_SOCKTYPE   as getaddrinfo(3).
 * Example: int e = weft_getaddrinfo("example.org", "http", &hints, &res);
 * See:     weft_dial, which looks names up by itself.
 * From:    POSIX, getaddrinfo; Go, net.Resolver (by the C library).
 */
WEFT_API int weft_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                              struct addrinfo **res);

WEFT_END_DECLS

#endif
