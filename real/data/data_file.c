/* data_file.c - see data_file.h. */
#include "real/data/data_file.h"

#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/input_file.h"
#include "real/tokenizer/unicode.h"

enum { FILE_MAX_BYTES = 1 << 30, ALWAYS_UNFOLDED_BYTES = 64 << 20, UNFOLDED_MOST = 100, SAMPLE_BYTES = 64 << 10 };

/* ---- files that are not text ---- */

static const char table[] = "write its records as JSONL", archive[] = "unpack it",
                  unpack[] = "unpack it, or pack it with gzip", saved[] = "save it as text or JSONL",
                  other[] = "give another file";

typedef struct {
    size_t at, count;
    const char *bytes;
    const char *what, *advice;
} magic_t;

#define MAGIC(at, bytes, what, advice)                                                                                 \
    {                                                                                                                  \
        at, sizeof(bytes) - 1, bytes, what, advice                                                                     \
    }

/* The first match names the format. */
static const magic_t magics[] = {
    MAGIC(0, "PAR1", "a Parquet table", table),
    MAGIC(0, "PARE", "an encrypted Parquet table", table),
    MAGIC(0, "ARROW1", "an Arrow table", table),
    MAGIC(0, "FEA1", "a Feather table", table),
    MAGIC(0, "\xff\xff\xff\xff", "a stream of Arrow tables", table),
    MAGIC(0, "ORC", "an ORC table", table),
    MAGIC(0, "Obj\x01", "an Avro file", table),
    MAGIC(0, "SQLite format 3\0", "an SQLite database", table),
    MAGIC(0, "\x89HDF\r\n\x1a\n", "an HDF5 file", table),
    MAGIC(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", table),
    MAGIC(0, "\x1f\x8b", "a gzip file in a gzip file", archive),
    MAGIC(0, "PK\x03\x04", "a zip archive", archive),
    MAGIC(0, "PK\x05\x06", "an empty zip archive", archive),
    MAGIC(4, "1AY&SY", "packed by bzip2", unpack),
    MAGIC(4, "\x17\x72\x45\x38\x50\x90", "packed by bzip2", unpack),
    MAGIC(0,
          "\xfd"
          "7zXZ\0",
          "packed by xz", unpack),
    MAGIC(0, "]\0\0", "packed by lzma", unpack),
    MAGIC(0, "\x28\xb5\x2f\xfd", "packed by zstd", unpack),
    MAGIC(0, "\x04\x22\x4d\x18", "packed by lz4", unpack),
    MAGIC(0, "\xff\x06\0\0sNaPpY", "packed by snappy", unpack),
    MAGIC(0, "\x1f\x9d", "packed by compress", unpack),
    MAGIC(0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", archive),
    MAGIC(0, "Rar!\x1a\x07", "a RAR archive", archive),
    MAGIC(257, "ustar", "a tar archive", archive),
    MAGIC(0, "\xff\xfe\0\0", "text in UTF-32", "convert it: iconv -f UTF-32 -t UTF-8"),
    MAGIC(0, "\0\0\xfe\xff", "text in UTF-32", "convert it: iconv -f UTF-32 -t UTF-8"),
    MAGIC(0, "\xff\xfe", "text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    MAGIC(0, "\xfe\xff", "text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    MAGIC(0, "%PDF-", "a PDF document", "extract its text"),
    MAGIC(0, "{\\rtf", "an RTF document", "extract its text"),
    MAGIC(0, "\x93NUMPY", "a NumPy array", other),
    MAGIC(0, "GGUF", "a GGUF model", other),
    MAGIC(6, "\0\0{\"", "a safetensors file", other),
    MAGIC(0, "\x80\x02", "a Python pickle", other),
    MAGIC(0, "\x80\x03", "a Python pickle", other),
    MAGIC(0, "\x80\x04", "a Python pickle", other),
    MAGIC(0, "\x80\x05", "a Python pickle", other),
    MAGIC(0, "\x89PNG", "a PNG picture", other),
    MAGIC(0, "\xff\xd8\xff", "a JPEG picture", other),
    MAGIC(0,
          "\x7f"
          "ELF",
          "a program", other),
};

/* Other kinds of zip archives; the names of their parts are together at the end of the file. */
static const magic_t zips[] = {
    {0, 0, "xl/workbook", "an Excel workbook", table},    {0, 0, "word/document", "a Word document", saved},
    {0, 0, "content.xml", "an OpenDocument file", saved}, {0, 0, "/data.pkl", "a PyTorch file", other},
    {0, 0, ".npy", "a file of NumPy arrays", other},
};

static const magic_t *look_into_zip(const char *text, size_t bytes, const magic_t *zip)
{
    size_t tail = bytes < SAMPLE_BYTES ? bytes : SAMPLE_BYTES;
    for (size_t i = 0; i < sizeof zips / sizeof zips[0]; i++)
        if (memmem(text + bytes - tail, tail, zips[i].bytes, strlen(zips[i].bytes)))
            return &zips[i];
    return zip;
}

/* In text of the Latin alphabet every second byte of UTF-16 and three of four bytes of UTF-32 are zero. */
static const char *name_wide_text(const char *text, size_t bytes)
{
    size_t zeros[4] = {0}, quarter = bytes / 4;
    for (size_t i = 0; i < bytes; i++)
        zeros[i % 4] += text[i] == '\0';
    if (bytes < 8)
        return NULL;
    bool most[4];
    for (size_t i = 0; i < 4; i++)
        most[i] = zeros[i] * 10 > quarter * 8;
    if ((most[0] && most[1] && most[2] && !most[3]) || (!most[0] && most[1] && most[2] && most[3]))
        return "text in UTF-32 without a byte-order mark";
    if (most[0] && most[2] && !most[1] && !most[3])
        return "text in UTF-16BE without a byte-order mark";
    return most[1] && most[3] && !most[0] && !most[2] ? "text in UTF-16LE without a byte-order mark" : NULL;
}

/* Control characters that texts do not have; a few may be an accident. */
static bool is_binary(const char *text, size_t bytes)
{
    size_t controls = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        controls += (c < 32 && !(c >= '\b' && c <= '\r') && c != 27) || c == 127;
    }
    return controls > 4 && controls * 50 > bytes;
}

static lspo_status_t refuse(const char *path, const char *what, const char *advice)
{
    return lspo_error(LSPO_ERR_INPUT, "%s: the file is %s, but training data must be UTF-8 text; %s", path, what,
                      advice);
}

/* A text may begin with the same letters as some of these formats. */
static bool is_word(const magic_t *magic)
{
    for (size_t i = 0; i < magic->count; i++)
        if (!isalnum((unsigned char)magic->bytes[i]))
            return false;
    return true;
}

static const magic_t *find_magic(const char *text, size_t bytes, bool binary)
{
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        const magic_t *m = &magics[i];
        if (bytes >= m->at + m->count && memcmp(text + m->at, m->bytes, m->count) == 0 && (binary || !is_word(m)))
            return m;
    }
    return NULL;
}

static lspo_status_t check_text(const char *path, const char *text, size_t bytes)
{
    size_t sample = bytes < SAMPLE_BYTES ? bytes : SAMPLE_BYTES;
    bool binary = is_binary(text, sample);
    const magic_t *magic = find_magic(text, bytes, binary);
    if (magic && strncmp(magic->bytes, "PK", 2) == 0)
        magic = look_into_zip(text, bytes, magic);
    if (magic)
        return refuse(path, magic->what, magic->advice);
    const char *wide = name_wide_text(text, sample);
    if (wide)
        return refuse(path, wide, "convert it to UTF-8 with iconv");
    return binary ? refuse(path, "binary data", other) : LSPO_OK;
}

/* ---- gzip ---- */

/* Doubles the buffer up to `most` bytes. */
typedef struct {
    char *text;
    size_t bytes, capacity, most;
} unfolded_t;

static lspo_status_t make_room(const char *path, unfolded_t *out)
{
    if (out->bytes < out->capacity)
        return LSPO_OK;
    if (out->capacity == out->most)
        return lspo_error(LSPO_ERR_INPUT, "%s: unfolds to more than %zu MiB; unpack it and give a smaller file", path,
                          out->most >> 20);
    size_t capacity = out->capacity ? 2 * out->capacity : SAMPLE_BYTES;
    capacity = capacity < out->most ? capacity : out->most;
    char *text = realloc(out->text, capacity + 1);
    if (!text)
        return lspo_no_memory("the content of %s", path);
    out->text = text;
    out->capacity = capacity;
    return LSPO_OK;
}

/* Read one member; the first decompressed part is checked before the rest follows. */
static lspo_status_t inflate_member(const char *path, z_stream *stream, unfolded_t *out)
{
    for (int state = Z_OK; state != Z_STREAM_END;) {
        lspo_status_t status = make_room(path, out);
        if (status != LSPO_OK)
            return status;
        size_t room = out->capacity - out->bytes;
        stream->next_out = (Bytef *)out->text + out->bytes;
        stream->avail_out = room < INT_MAX ? (uInt)room : INT_MAX;
        size_t asked = stream->avail_out;
        state = inflate(stream, Z_NO_FLUSH);
        out->bytes += asked - stream->avail_out;
        if (state == Z_MEM_ERROR)
            return lspo_no_memory("the content of %s", path);
        if (state == Z_BUF_ERROR || (state == Z_OK && stream->avail_in == 0 && stream->avail_out > 0))
            return lspo_error(LSPO_ERR_INPUT, "%s: the gzip file is cut short", path);
        if (state != Z_OK && state != Z_STREAM_END)
            return lspo_error(LSPO_ERR_INPUT, "%s: the gzip file is damaged: %s", path,
                              stream->msg ? stream->msg : "bad data");
        if (out->capacity == SAMPLE_BYTES && out->bytes == SAMPLE_BYTES)
            status = check_text(path, out->text, out->bytes);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static bool is_gzip(const char *text, size_t bytes)
{
    return bytes >= 3 && memcmp(text, "\x1f\x8b\x08", 3) == 0;
}

/* Read successive members, then at most the zero padding of a tape. */
/* Only zero bytes may follow the last member. */
static lspo_status_t inflate_members(const char *path, z_stream *stream, unfolded_t *out)
{
    do {
        lspo_status_t status = inflate_member(path, stream, out);
        if (status != LSPO_OK)
            return status;
    } while (is_gzip((const char *)stream->next_in, stream->avail_in) && inflateReset(stream) == Z_OK);
    for (uInt i = 0; i < stream->avail_in; i++)
        if (stream->next_in[i] != 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: there are extra bytes after the end of the gzip file", path);
    return LSPO_OK;
}

static lspo_status_t inflate_all(const char *path, const char *packed, size_t packed_bytes, unfolded_t *out)
{
    z_stream stream = {.next_in = (Bytef *)packed, .avail_in = (uInt)packed_bytes};
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
        return lspo_no_memory("the content of %s", path);
    lspo_status_t status = inflate_members(path, &stream, out);
    inflateEnd(&stream);
    return status;
}

static lspo_status_t unpack_gzip(const char *path, lspo_data_file_t *file)
{
    size_t most = file->bytes > FILE_MAX_BYTES / UNFOLDED_MOST ? FILE_MAX_BYTES : file->bytes * UNFOLDED_MOST;
    unfolded_t out = {.most = most < ALWAYS_UNFOLDED_BYTES ? ALWAYS_UNFOLDED_BYTES : most};
    lspo_status_t status = inflate_all(path, file->text, file->bytes, &out);
    free(file->text);
    file->text = out.text;
    file->bytes = out.bytes;
    if (status != LSPO_OK)
        return status;
    if (out.bytes >= 3 && memcmp(out.text, "\xef\xbb\xbf", 3) == 0) {
        memmove(out.text, out.text + 3, out.bytes -= 3);
        file->bytes = out.bytes;
    }
    return LSPO_OK;
}

/* ---- the file ---- */

static bool is_blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(" \t\n\v\f\r", text[i]) || text[i] == '\0')
            return false;
    return true;
}

static lspo_status_t read_text(const char *path, lspo_data_file_t *file)
{
    size_t length = strlen(path);
    bool named = length > 3 && strcasecmp(path + length - 3, ".gz") == 0;
    file->name = strndup(path, named ? length - 3 : length);
    if (!file->name)
        return lspo_no_memory("the name of %s", path);
    lspo_status_t status = lspo_input_read_file(path, FILE_MAX_BYTES, &file->text, &file->bytes);
    if (status != LSPO_OK)
        return status;
    if (is_gzip(file->text, file->bytes))
        status = unpack_gzip(path, file);
    else if (named && (status = check_text(path, file->text, file->bytes)) == LSPO_OK)
        return lspo_error(LSPO_ERR_INPUT, "%s: not a gzip file, although its name ends in .gz", path);
    if (status != LSPO_OK)
        return status;
    if (is_blank(file->text, file->bytes))
        return lspo_error(LSPO_ERR_INPUT, "%s: the file is empty", path);
    return check_text(path, file->text, file->bytes);
}

lspo_status_t lspo_data_file_read(const char *path, lspo_data_file_t *file_out)
{
    lspo_data_file_t file = {0};
    lspo_status_t status = read_text(path, &file);
    if (status != LSPO_OK) {
        lspo_data_file_release(&file);
        return status;
    }
    *file_out = file;
    return LSPO_OK;
}

void lspo_data_file_release(lspo_data_file_t *file)
{
    free(file->text);
    free(file->name);
    *file = (lspo_data_file_t){0};
}

bool lspo_data_is_utf8(const char *text, size_t bytes, lspo_not_utf8_t *bad_out)
{
    lspo_not_utf8_t bad = {0};
    size_t line = 1, column = 1;
    for (size_t at = 0, length; at < bytes; at += length) {
        uint32_t code;
        length = lspo_utf8_next(text, bytes, at, &code);
        if (code == UINT32_MAX && bad.count++ == 0)
            bad = (lspo_not_utf8_t){.line = line, .column = column, .byte = (unsigned char)text[at], .count = 1};
        column = text[at] == '\n' ? 1 : column + 1;
        line += text[at] == '\n';
    }
    if (bad.count > 0)
        *bad_out = bad;
    return bad.count == 0;
}
