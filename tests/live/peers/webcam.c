/* A webcam that is none: stands before the C library's open and ioctl (LD_PRELOAD) and plays a
 * file of YUYV frames at 25 a second at the path that WEBCAM_DEVICE names. While the file that
 * WEBCAM_GONE names exists it is unplugged. Linux's V4L2 API, as far as FFmpeg uses it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 4, RATE = 25 };

static int fake = -1, queued[BUFFERS], head, waiting, turn, frames;
static unsigned char *film, *memory;
static unsigned width, height, size, stride; /* stride: of the buffers, whole pages */
static struct timespec due;

static int unplugged(void) {
    const char *gone = getenv("WEBCAM_GONE");
    return gone && access(gone, F_OK) == 0;
}

static int opened(const char *path) {
    const char *device = getenv("WEBCAM_DEVICE");
    if (!device || strcmp(path, device)) return -2;
    if (unplugged()) { errno = ENODEV; return -1; }
    width = atoi(getenv("WEBCAM_WIDTH")), height = atoi(getenv("WEBCAM_HEIGHT"));
    size = width * height * 2, stride = (size + 4095) & ~4095u;
    int (*plain)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int file = plain(getenv("WEBCAM_FILM"), O_RDONLY);
    struct stat told;
    if (file < 0 || fstat(file, &told)) return -1;
    film = mmap(0, told.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    frames = told.st_size / size, head = waiting = turn = 0;
    fake = memfd_create("webcam", 0);
    if (ftruncate(fake, (off_t)stride * BUFFERS)) return -1;
    memory = mmap(0, (size_t)stride * BUFFERS, PROT_READ | PROT_WRITE, MAP_SHARED, fake, 0);
    clock_gettime(CLOCK_MONOTONIC, &due);
    return fake;
}

#define OPEN(name)                                                      \
    int name(const char *path, int flags, ...) {                        \
        va_list more;                                                   \
        va_start(more, flags);                                          \
        mode_t mode = va_arg(more, mode_t);                             \
        va_end(more);                                                   \
        int found = opened(path);                                       \
        if (found != -2) return found;                                  \
        int (*plain)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
        return plain(path, flags, mode);                                \
    }
OPEN(open)
OPEN(open64)

static void describe(struct v4l2_format *form) {
    form->fmt.pix.width = width, form->fmt.pix.height = height;
    form->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV, form->fmt.pix.field = V4L2_FIELD_NONE;
    form->fmt.pix.bytesperline = width * 2, form->fmt.pix.sizeimage = size;
}

static int dequeue(struct v4l2_buffer *buffer) {
    if (!waiting) { errno = EAGAIN; return -1; }
    due.tv_nsec += 1000000000 / RATE;
    if (due.tv_nsec >= 1000000000) due.tv_nsec -= 1000000000, due.tv_sec++;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
    if (unplugged()) { errno = ENODEV; return -1; }
    int index = queued[head];
    head = (head + 1) % BUFFERS, waiting--;
    memcpy(memory + (size_t)index * stride, film + (size_t)(turn++ % frames) * size, size);
    buffer->index = index, buffer->bytesused = size, buffer->field = V4L2_FIELD_NONE;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = due.tv_sec, buffer->timestamp.tv_usec = due.tv_nsec / 1000;
    return 0;
}

int ioctl(int descriptor, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *what = va_arg(more, void *);
    va_end(more);
    if (descriptor != fake || fake < 0) {
        int (*plain)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
        return plain(descriptor, request, what);
    }
    switch ((unsigned)request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *can = what;
        memset(can, 0, sizeof *can);
        can->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_G_INPUT: *(int *)what = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = what;
        input->type = V4L2_INPUT_TYPE_CAMERA, input->std = 0;
        return input->index ? (errno = EINVAL, -1) : 0;
    }
    case VIDIOC_G_FMT: case VIDIOC_S_FMT: describe(what); return 0;
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: {
        struct v4l2_streamparm *rate = what;
        rate->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        rate->parm.capture.timeperframe = (struct v4l2_fract){1, RATE};
        return 0;
    }
    case VIDIOC_REQBUFS: ((struct v4l2_requestbuffers *)what)->count = BUFFERS; return 0;
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = what;
        buffer->length = stride, buffer->m.offset = buffer->index * stride;
        return 0;
    }
    case VIDIOC_QBUF:
        queued[(head + waiting++) % BUFFERS] = ((struct v4l2_buffer *)what)->index;
        return 0;
    case VIDIOC_DQBUF: return dequeue(what);
    case VIDIOC_STREAMON: case VIDIOC_STREAMOFF: return 0;
    }
    errno = ENOTTY;
    return -1;
}
