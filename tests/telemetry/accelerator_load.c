#include "accelerator_load.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_NS 100000000
#define FIRST_KIND_OF_WAIT 4
#define MOST_LOGS 256

/* As in tests/accelerator/source/log.h and log.cpp. */
struct record { int64_t kind, device, stream, start_ns, end_ns; };
struct log { int64_t count; struct record records[]; };

struct mapped_log {
    char path[PATH_MAX];
    const struct log *log;
    int64_t first; /* all records before it ended before the window */
};

struct period { int64_t start_ns, end_ns; };

static struct mapped_log logs[MOST_LOGS];
static int log_count;
static struct period *periods;
static size_t period_count, period_capacity;

static const char *stem(void) { return getenv("LOADERSCOPE_TEST_ACCELERATOR_LOG"); }

int is_accelerator_simulated(void) { return stem() != NULL; }

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void map_log(const char *path) {
    struct stat status;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    if (fstat(file, &status) == 0 && status.st_size > 0) { /* a process gives its log the full size at once */
        const void *mapped = mmap(NULL, status.st_size, PROT_READ, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED) {
            struct mapped_log *added = &logs[log_count++];
            snprintf(added->path, sizeof added->path, "%s", path);
            added->log = mapped;
        }
    }
    close(file);
}

static int is_mapped(const char *path) {
    for (int number = 0; number < log_count; ++number)
        if (strcmp(logs[number].path, path) == 0) return 1;
    return 0;
}

static void map_new_logs(void) {
    char pattern[PATH_MAX];
    glob_t matches;
    snprintf(pattern, sizeof pattern, "%s.*", stem());
    if (glob(pattern, 0, NULL, &matches) == 0)
        for (size_t number = 0; number < matches.gl_pathc && log_count < MOST_LOGS; ++number)
            if (!is_mapped(matches.gl_pathv[number])) map_log(matches.gl_pathv[number]);
    globfree(&matches);
}

static void add_period(int64_t start_ns, int64_t end_ns) {
    if (period_count == period_capacity) {
        period_capacity = period_capacity ? 2 * period_capacity : 1024;
        periods = realloc(periods, period_capacity * sizeof *periods);
    }
    periods[period_count++] = (struct period){start_ns, end_ns};
}

static void add_periods(struct mapped_log *mapped, int device, int64_t low_ns, int64_t high_ns) {
    const int64_t count = __atomic_load_n(&mapped->log->count, __ATOMIC_ACQUIRE);
    const struct record *records = mapped->log->records;
    while (mapped->first < count && records[mapped->first].end_ns <= low_ns) ++mapped->first;
    for (int64_t number = mapped->first; number < count; ++number) {
        const struct record *record = &records[number];
        if (record->kind >= FIRST_KIND_OF_WAIT || record->device != device) continue;
        const int64_t start_ns = record->start_ns > low_ns ? record->start_ns : low_ns;
        const int64_t end_ns = record->end_ns < high_ns ? record->end_ns : high_ns; /* planned work may lie in the future */
        if (start_ns < end_ns) add_period(start_ns, end_ns);
    }
}

static int compare_starts(const void *first, const void *second) {
    const int64_t a = ((const struct period *)first)->start_ns, b = ((const struct period *)second)->start_ns;
    return (a > b) - (a < b);
}

unsigned accelerator_busy_percent(int device) {
    const int64_t high_ns = now_ns(), low_ns = high_ns - WINDOW_NS;
    int64_t busy_ns = 0, covered_ns = low_ns; /* until when the periods so far are counted */
    map_new_logs();
    period_count = 0;
    for (int number = 0; number < log_count; ++number) add_periods(&logs[number], device, low_ns, high_ns);
    if (period_count) qsort(periods, period_count, sizeof *periods, compare_starts);
    for (size_t number = 0; number < period_count; ++number) {
        const int64_t start_ns = periods[number].start_ns > covered_ns ? periods[number].start_ns : covered_ns;
        if (periods[number].end_ns <= start_ns) continue;
        busy_ns += periods[number].end_ns - start_ns;
        covered_ns = periods[number].end_ns;
    }
    return (unsigned)((100 * busy_ns + WINDOW_NS / 2) / WINDOW_NS);
}
