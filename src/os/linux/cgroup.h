/* SPDX-License-Identifier: Apache-2.0 */
/* The seam of os_cpu_quota for its unit test. */
#ifndef WEFTI_OS_LINUX_CGROUP_H
#define WEFTI_OS_LINUX_CGROUP_H

/* os_cpu_quota with every path, /proc/… and the mount points, below `prefix` ("": the system's). */
int os_cpu_quota_below(const char *prefix);

#endif
