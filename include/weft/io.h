/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weft/io.h: reading, writing and waiting on descriptors.
 *
 * The calls are POSIX's, with the same arguments and results, on the same descriptors; where POSIX
 * blocks the thread they park the goroutine. Each is tried first and parks, as "IO wait" in dumps,
 * only when the kernel says that it would have to wait. EINTR is never seen and SIGPIPE never
 * raised: a write that nobody will read fails with EPIPE.
 *
 * Own descriptors are those that weft made: by weft_listen, weft_dial, weft_accept and weft_open.
 * They are non-blocking and close-on-exec, and stay registered with the poller until weft_close.
 * Close them with weft_close and with nothing else: after a plain close(2) their number is taken
 * for the old descriptor still.
 *
 * Foreign descriptors are all others: inherited ones, those of socket(2) and pipe(2), a library's.
 * They are never changed and never trusted. No O_NONBLOCK is set on them, which other processes
 * would see too: sockets are used with MSG_DONTWAIT, pipes and terminals with RWF_NOWAIT or after
 * a wait until they are ready. They are registered anew for each wait, for that wait alone, so a
 * library may close one and use its number again behind weft's back. Where a foreign descriptor is
 * blocking and somebody else takes its data first, the call waits as in weft_block().
 *
 * Turns. Of the operations on an own descriptor one reads and one writes at a time; more of them
 * queue, first come first served, and their wait is cancellable. So what two goroutines write with
 * one weft_write each is not mixed. Accepting counts as reading, connecting as writing. weft_poll
 * takes no turn, and neither files nor foreign descriptors have any: there, the kernel decides.
 *
 * Deadlines. A descriptor has two, one for reading and one for writing, both moments on the clock
 * of weft_now(). One holds for all operations, those that wait now among them, until it is changed:
 * it is not used up. Once it has passed, operations fail with ETIMEDOUT, even when data are ready;
 * the data stay, and a later deadline, or none (0), makes the descriptor usable again. What can't
 * be polled can't have one. To bound one piece of work instead of a descriptor use
 * weft_scope_timeout(): its end fails with ETIMEDOUT too, and weft_ctx_err(weft_ctx_current())
 * tells the two apart.
 *
 * Closing. weft_close fails whatever is parked or queued on the descriptor with EBADF, and has the
 * kernel close it when the last operation has left, so that no running call meets a new descriptor
 * of the same number. It waits for that, but not for calls on a file: the last of them closes.
 *
 * Files. Regular files and directories can't be polled: the kernel calls them always ready and lets
 * the disk take its time. Calls on them are made as in weft_block(): the thread waits ("syscall" in
 * dumps), its P goes to others, and neither a context nor a deadline ends the call.
 *
 * Threads that are no goroutine may make all of these calls and wait as threads; their context is
 * the background. Where no runtime is running the calls are the plain blocking ones of POSIX.
 * Nothing is closed by itself at the end of a run: descriptors stay open, with the flags that they
 * have, and count as foreign from then on. So they do in a fork's child after weft_after_fork.
 */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <weft/base.h>

WEFT_BEGIN_DECLS

/*
 * weft_read reads up to n bytes into buf: what is there, else it waits for some. An n of 0 returns
 * 0 at once.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: the count, 0 at the end of the file or when the peer has shut down; or -1 with errno.
 * Errors:  EBADF      fd is not open for reading, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the read deadline of fd, or that of the goroutine's context, has passed.
 *          ECONNRESET the peer aborted the connection.
 *          ENOMEM, ENOSPC   the wait could not be registered (foreign descriptors).
 *          EFAULT, EINVAL, EIO, EISDIR   as read(2).
 * Order:   what is written to a pipe or socket is ordered by the kernel, for weft by nothing else:
 *          a read is not promised to see the memory of the writer.
 * Example: while ((n = weft_read(fd, buf, sizeof buf)) > 0) sum += n;
 * See:     weft_readv, weft_recvfrom, weft_set_read_deadline.
 * From:    POSIX, read; Go, net.Conn.Read.
 */
WEFT_API ssize_t weft_read(int fd, void *buf, size_t n);

/*
 * weft_write writes n bytes, and goes on over partial writes until all are written or an error
 * comes. On an own descriptor no other goroutine's bytes get in between.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: n; a smaller count, with errno, when an error came after that many bytes; -1 with errno
 *          when it came before the first.
 * Errors:  EBADF      fd is not open for writing, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the write deadline of fd, or that of the goroutine's context, has passed.
 *          EPIPE      nobody will read: the other end is closed, or this one shut down.
 *          ECONNRESET the peer aborted the connection.
 *          ENOMEM, ENOSPC   the wait could not be registered (foreign descriptors); no space left.
 *          EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINVAL, EIO   as write(2).
 * Example: if (weft_write(fd, text, len) != (ssize_t)len) report(errno);
 * See:     weft_writev, weft_sendto, weft_set_write_deadline.
 * From:    POSIX, write; Go, net.Conn.Write, whose count and error both come back.
 */
WEFT_API ssize_t weft_write(int fd, const void *buf, size_t n);

/*
 * weft_readv reads into several buffers, in their order, as one weft_read.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: as weft_read.
 * Errors:  as weft_read; EINVAL also for an iovcnt below 0 or over IOV_MAX.
 * See:     weft_read.
 * From:    POSIX, readv.
 */
WEFT_API ssize_t weft_readv(int fd, const struct iovec *iov, int iovcnt);

/*
 * weft_writev writes several buffers, in their order, as one weft_write: all of them. The iovec
 * array is not changed.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: as weft_write; the count is that of all the buffers.
 * Errors:  as weft_write; EINVAL also for an iovcnt below 0 or over IOV_MAX.
 * Example: weft_writev(fd, (struct iovec[]){{head, head_len}, {body, body_len}}, 2);
 * See:     weft_write.
 * From:    POSIX, writev; Go, net.Buffers.
 */
WEFT_API ssize_t weft_writev(int fd, const struct iovec *iov, int iovcnt);

/*
 * weft_pread reads up to n bytes of a file from offset on, and leaves the file's position alone.
 *
 * Traits:  blocks the thread as weft_block does, not cancellable; any thread, any time; no memory.
 * Returns: the count, 0 at or past the end of the file; or -1 with errno.
 * Errors:  EBADF   fd is not open for reading, or was closed before the call.
 *          ESPIPE  fd is a socket, a pipe or the like.
 *          EFAULT, EINVAL, EIO, EISDIR, ENXIO, EOVERFLOW   as pread(2).
 * See:     weft_read, weft_pwrite.
 * From:    POSIX, pread; Go, os.File.ReadAt (which goes on until the buffer is full).
 */
WEFT_API ssize_t weft_pread(int fd, void *buf, size_t n, off_t offset);

/*
 * weft_pwrite writes n bytes to a file from offset on, all of them, and leaves the file's position
 * alone.
 *
 * Traits:  blocks the thread as weft_block does, not cancellable; any thread, any time; no memory.
 * Returns: as weft_write.
 * Errors:  EBADF   fd is not open for writing, or was closed before the call.
 *          ESPIPE  fd is a socket, a pipe or the like.
 *          EDQUOT, EFAULT, EFBIG, EINVAL, EIO, ENOSPC, ENXIO, EOVERFLOW   as pwrite(2).
 * See:     weft_write, weft_pread.
 * From:    POSIX, pwrite; Go, os.File.WriteAt.
 */
WEFT_API ssize_t weft_pwrite(int fd, const void *buf, size_t n, off_t offset);

/*
 * weft_recvfrom receives from a socket: from a stream what is there, from a datagram socket one
 * datagram, whose rest is dropped when buf is smaller. The sender's address goes to *from and its
 * size to *fromlen; both may be NULL. With MSG_WAITALL a stream is read until buf is full. With
 * MSG_DONTWAIT it tries once, takes no turn and never parks.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: the count, 0 at the end of a stream or for an empty datagram; or -1 with errno.
 * Errors:  EBADF      fd is not open, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the read deadline of fd, or that of the goroutine's context, has passed.
 *          EAGAIN     nothing is there, and flags has MSG_DONTWAIT.
 *          ENOTSOCK   fd is no socket.
 *          ENOMEM, ENOSPC   the wait could not be registered (foreign descriptors).
 *          ECONNREFUSED, ECONNRESET, EFAULT, EINVAL, ENOTCONN, EOPNOTSUPP   as recvfrom(2).
 * Example: n = weft_recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &fromlen);
 * See:     weft_sendto, weft_recvmsg, weft_read.
 * From:    POSIX, recvfrom; Go, net.UDPConn.ReadFrom.
 */
WEFT_API ssize_t weft_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
                               socklen_t *fromlen);

/*
 * weft_sendto sends n bytes on a socket: on a datagram socket as one datagram, to the address or,
 * with NULL, to the connected peer; on a stream it goes on until all are sent, as weft_write. With
 * MSG_DONTWAIT it tries once, takes no turn and never parks.
 *
 * Traits:  parks ("IO wait"; "sleep" while a named Unix socket's queue is full), cancellable; any
 *          thread, any time; no memory.
 * Returns: the count, smaller than n, with errno, when an error came after that many bytes of a
 *          stream; or -1 with errno.
 * Errors:  EBADF      fd is not open, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the write deadline of fd, or that of the goroutine's context, has passed.
 *          EAGAIN     there is no room, and flags has MSG_DONTWAIT.
 *          EPIPE      this end was shut down, or the other end is closed.
 *          ENOTSOCK   fd is no socket.
 *          ENOMEM, ENOSPC   the wait could not be registered (foreign descriptors).
 *          EACCES, EAFNOSUPPORT, ECONNREFUSED, ECONNRESET, EDESTADDRREQ, EFAULT, EHOSTUNREACH,
 *          EINVAL, EISCONN, EMSGSIZE, ENETUNREACH, ENOBUFS, ENOTCONN, EOPNOTSUPP   as sendto(2).
 * See:     weft_recvfrom, weft_sendmsg, weft_write.
 * From:    POSIX, sendto; Go, net.UDPConn.WriteTo.
 */
WEFT_API ssize_t weft_sendto(int fd, const void *buf, size_t n, int flags,
                             const struct sockaddr *to, socklen_t tolen);

/*
 * weft_recvmsg receives a message as weft_recvfrom does, into several buffers, and control data
 * with it, such as the descriptors that another process passes over a Unix socket. Those are
 * foreign; pass MSG_CMSG_CLOEXEC to have them closed at an exec.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: as weft_recvfrom; msg->msg_flags tells what was cut off.
 * Errors:  as weft_recvfrom; EMSGSIZE for a msg_iovlen over IOV_MAX.
 * See:     weft_sendmsg, weft_recvfrom.
 * From:    POSIX, recvmsg; Go, net.UnixConn.ReadMsgUnix.
 */
WEFT_API ssize_t weft_recvmsg(int fd, struct msghdr *msg, int flags);

/*
 * weft_sendmsg sends a message as weft_sendto does, from several buffers, and control data with
 * the first part of it.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: as weft_sendto.
 * Errors:  as weft_sendto; EMSGSIZE also for a msg_iovlen over IOV_MAX; ETOOMANYREFS too many
 *          descriptors are on their way.
 * See:     weft_recvmsg, weft_sendto.
 * From:    POSIX, sendmsg; Go, net.UnixConn.WriteMsgUnix.
 */
WEFT_API ssize_t weft_sendmsg(int fd, const struct msghdr *msg, int flags);

/*
 * weft_sendfile copies up to n bytes from in to out, inside of the kernel where it can: from a file
 * to a socket or pipe that is non-blocking, as all of weft's own are, or to another file. It goes
 * on until n are copied, in ends or an error comes. With an offset of NULL it reads from in's
 * position, which moves; else from *offset, which moves while the position stays.
 *
 * What the kernel can't is copied through a buffer, as by weft_read and weft_write. When in is no
 * file, what was read from it and could not be written is lost.
 *
 * Traits:  parks ("IO wait") while out has no room, or in no data, and is cancellable then; blocks
 *          the thread as weft_block does while a file is read; any thread, any time; allocates
 *          where it copies through a buffer.
 * Returns: the count, less than n where in ended: errno is as it was then; a smaller count, with
 *          errno, when an error came after that many bytes; -1 with errno when it came before the
 *          first.
 * Errors:  EBADF      a descriptor is not open for its part, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  the write deadline of out, or that of the goroutine's context, has passed.
 *          EPIPE, ECONNRESET   as weft_write.
 *          EINVAL     *offset is below 0, or n over SSIZE_MAX.
 *          ENOMEM     no memory for the buffer.
 *          ENOMEM, ENOSPC   the wait could not be registered (foreign descriptors).
 *          EFAULT, EIO, EOVERFLOW, ESPIPE   as sendfile(2), read(2) and write(2).
 * Example: n = weft_sendfile(conn, file, NULL, size);
 * See:     weft_write, weft_open.
 * From:    Linux, sendfile(2); Go, net.TCPConn.ReadFrom.
 */
WEFT_API ssize_t weft_sendfile(int out, int in, off_t *offset, size_t n);

/*
 * weft_open opens a file as open(2) does; a mode follows the flags where O_CREAT or O_TMPFILE is
 * among them. The descriptor is weft's own, and close-on-exec. A FIFO, a terminal or another
 * device that can be polled is made non-blocking, and calls on it park; for a regular file see the
 * head of this file. Opening a FIFO waits for its other end, as in POSIX, unless O_NONBLOCK is
 * among the flags.
 *
 * Traits:  blocks the thread as weft_block does, not cancellable; any thread, any time; allocates.
 * Returns: the descriptor, to be closed by weft_close; or -1 with errno.
 * Errors:  ENOMEM  no memory for the descriptor's entry.
 *          EACCES, EEXIST, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOSPC, ENOTDIR,
 *          ENXIO, EROFS and what else open(2) reports.
 * Example: int fd = weft_open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
 * See:     weft_close, weft_pread, weft_fdopen.
 * From:    POSIX, open; Go, os.OpenFile.
 */
WEFT_API int weft_open(const char *path, int flags, ...);

/*
 * weft_fsync returns when what was written to a file has reached its device.
 *
 * Traits:  blocks the thread as weft_block does, not cancellable; any thread, any time; no memory.
 * Returns: 0, or -1 with errno.
 * Errors:  EBADF   fd is not open, or was closed before the call.
 *          EINVAL, EROFS   fd is nothing that can be synchronised.
 *          EDQUOT, EIO, ENOSPC   what was written before could not be stored.
 * From:    POSIX, fsync; Go, os.File.Sync.
 */
WEFT_API int weft_fsync(int fd);

/*
 * weft_fdopen makes a stdio stream of a descriptor, over weft_read and weft_write: getline, fgets,
 * fprintf and fwrite on it park where they would block. mode is fdopen's.
 *
 * The stream does no locking of its own (FSETLOCKING_BYCALLER), for a lock of the C library can't
 * be held across a park: one goroutine uses it at a time, or a weft_mutex keeps them apart. fclose
 * flushes it, which may park, and closes the descriptor by weft_close. For a socket make two
 * streams, one for each direction, the second on a dup(2) of the descriptor.
 *
 * A mode with "w" truncates nothing, as with fdopen. An error shows in ferror, and errno has its
 * value. fileno fails: the C library knows of no descriptor. fflush(NULL) and exit flush all
 * streams of the process with a lock of the library held: close or flush these before.
 *
 * Traits:  never parks; any thread, any time; allocates. The calls on the stream: parks ("IO
 *          wait"), cancellable.
 * Returns: the stream, to be closed by fclose; or NULL with errno, and fd is still open.
 * Errors:  EINVAL  mode is none of fdopen's, or fd is not open for it.
 *          EBADF   fd is not open.
 *          ENOMEM.
 * Example: FILE *in = weft_fdopen(fd, "r"); while (getline(&line, &size, in) > 0) serve(line);
 * See:     weft_read, weft_write.
 * From:    POSIX, fdopen; Go, bufio.
 */
WEFT_API FILE *weft_fdopen(int fd, const char *mode);

/*
 * weft_close closes a descriptor. Operations that are parked or queued on it fail with EBADF, and
 * so do all later ones, a second weft_close among them, until the number is given out anew. It
 * waits for them to leave, and then has the kernel close. On a file it doesn't wait for calls under
 * way; the last of them closes.
 *
 * A foreign descriptor is closed too, and those who wait on it in a weft call are woken likewise.
 * Don't close what a library owns.
 *
 * Traits:  parks ("IO wait") while operations leave, not cancellable; any thread, any time; no
 *          memory.
 * Returns: 0; or -1 with errno. Whatever it returns, the descriptor is closed, but for EBADF.
 * Errors:  EBADF   fd is not open, or is being closed.
 *          EDQUOT, EIO, ENOSPC   data written before could not be stored.
 * Order:   a close is before the return of the operations that fail because of it.
 * See:     weft_shutdown, which ends a connection's one direction and closes nothing.
 * From:    POSIX, close; Go, net.Conn.Close.
 */
WEFT_API int weft_close(int fd);

/*
 * weft_set_deadline sets both deadlines of a descriptor: the moment from which reading and writing
 * it fail with ETIMEDOUT. 0 means none; a moment in the past, as every number below 0 is, fails
 * those who wait now, and all later operations at once, even when data are ready. It holds until it
 * is changed.
 *
 * A deadline belongs to the descriptor and not to the goroutine, so it is the tool to end other
 * goroutines' operations without closing: weft_set_deadline(fd, 1). On a foreign descriptor it is
 * meant for the file that is open there now: one that gets the number later doesn't inherit it.
 *
 * Traits:  never parks; any thread; allocates (foreign descriptors).
 * Returns: 0, or -1 with errno.
 * Errors:  EBADF       fd is not open, or is being closed.
 *          EOPNOTSUPP  fd can't be polled: a regular file, a directory, a disk; or no runtime is
 *                      running.
 *          ENOMEM      no memory for the descriptor's entry.
 * Order:   the call is before the return of an operation that fails because of it.
 * Example: weft_set_deadline(fd, weft_now() + 30 * WEFT_SECOND);
 * See:     weft_set_read_deadline, weft_set_write_deadline, weft_scope_timeout.
 * From:    Go, net.Conn.SetDeadline.
 */
WEFT_API int weft_set_deadline(int fd, weft_time t);

/*
 * weft_set_read_deadline sets the deadline of reading, receiving and accepting alone.
 *
 * Traits:  never parks; any thread; allocates (foreign descriptors).
 * Returns: 0, or -1 with errno.
 * Errors:  as weft_set_deadline.
 * See:     weft_set_deadline.
 * From:    Go, net.Conn.SetReadDeadline.
 */
WEFT_API int weft_set_read_deadline(int fd, weft_time t);

/*
 * weft_set_write_deadline sets the deadline of writing, sending and connecting alone.
 *
 * Traits:  never parks; any thread; allocates (foreign descriptors).
 * Returns: 0, or -1 with errno.
 * Errors:  as weft_set_deadline.
 * See:     weft_set_deadline.
 * From:    Go, net.Conn.SetWriteDeadline.
 */
WEFT_API int weft_set_write_deadline(int fd, weft_time t);

/*
 * weft_poll waits until a descriptor is ready for one of events (POLLIN, POLLOUT, POLLPRI,
 * POLLRDHUP). It is the way to a library that owns its descriptors and has calls that don't block:
 * poll, call it, and poll again. What the kernel calls always ready, as regular files, is ready.
 *
 * Any number of goroutines may poll one descriptor, whoever made it; all that wait for an event are
 * woken by it. Being ready is a hint: somebody else may be faster. The descriptor's deadlines hold
 * here too, each for the events of its direction.
 *
 * Traits:  parks ("IO wait"), cancellable; any thread, any time; no memory.
 * Returns: the events that are there, more than 0: some of those asked for, and POLLERR or POLLHUP
 *          in any case; or -1 with errno.
 * Errors:  EBADF      fd is not open, or was closed during the call.
 *          ECANCELED  the goroutine's context was cancelled.
 *          ETIMEDOUT  a deadline of fd, or that of the goroutine's context, has passed.
 *          ENOMEM, ENOSPC   the wait could not be registered.
 * Example: while (PQconsumeInput(c) && PQisBusy(c))
 *              if (weft_poll(PQsocket(c), POLLIN) < 0)
 *                  return -1;
 * See:     weft_read, weft_scope_timeout.
 * From:    POSIX, poll, with one descriptor and no time-out.
 */
WEFT_API int weft_poll(int fd, short events);

/*
 * weft_waitpid waits for a child process as waitpid(2) does. For the end of one child, a pid above
 * 0, the goroutine parks. For any child, a group of them, or a child's stop it blocks its thread as
 * weft_block does; so it does where the kernel has no descriptor to give for a child. With WNOHANG
 * it never waits.
 *
 * Traits:  parks ("IO wait"), cancellable, for the end of one child; else it blocks the thread as
 *          weft_block does, not cancellable; any thread, any time; no memory.
 * Returns: the child's pid, with *status set unless status is NULL; 0 with WNOHANG when none has
 *          changed; or -1 with errno.
 * Errors:  ECHILD     there is no such child, or somebody else has waited for it.
 *          EINVAL     options has an unknown bit.
 *          ECANCELED  the goroutine's context was cancelled; the child may be waited for again.
 *          ETIMEDOUT  the deadline of the goroutine's context has passed; likewise.
 * Order:   the end of the child is before the return.
 * Example: if (posix_spawnp(&pid, "cc", NULL, NULL, argv, environ) == 0)
 *              weft_waitpid(pid, &status, 0);
 * From:    POSIX, waitpid; Go, os.Process.Wait.
 */
WEFT_API pid_t weft_waitpid(pid_t pid, int *status, int options);

WEFT_END_DECLS

#endif
