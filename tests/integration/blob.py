# SPDX-License-Identifier: MIT
"""Blobs (daemon/base/blob.h) as a tree that can be changed: what a state is made of, for tests that spoil it."""
import struct

MAGIC = b"MPINETD\n"
KEY = b"mpinetd's blob.\0"
U64, I64, BOOL, DOUBLE, BYTES, STR, STRV, U64S, FD, FIELDS = range(1, 11)
MASK = (1 << 64) - 1


def siphash24(key, data):
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1 = k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d
    v2, v3 = k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573

    def turn(v0, v1, v2, v3):
        v0 = (v0 + v1) & MASK
        v1 = ((v1 << 13 | v1 >> 51) & MASK) ^ v0
        v0 = (v0 << 32 | v0 >> 32) & MASK
        v2 = (v2 + v3) & MASK
        v3 = ((v3 << 16 | v3 >> 48) & MASK) ^ v2
        v0 = (v0 + v3) & MASK
        v3 = ((v3 << 21 | v3 >> 43) & MASK) ^ v0
        v2 = (v2 + v1) & MASK
        v1 = ((v1 << 17 | v1 >> 47) & MASK) ^ v2
        return v0, v1, (v2 << 32 | v2 >> 32) & MASK, v3
    end = len(data) // 8 * 8
    last = (len(data) & 255) << 56 | int.from_bytes(data[end:], "little")
    for (word,) in struct.iter_unpack("<Q", data[:end] + struct.pack("<Q", last)):
        v3 ^= word
        v0, v1, v2, v3 = turn(*turn(v0, v1, v2, v3))
        v0 ^= word
    v2 ^= 255
    for _ in range(4):
        v0, v1, v2, v3 = turn(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


class Field:
    def __init__(self, tag, kind, data):
        self.tag, self.kind = tag, kind
        self.data = data  # bytes, or the list of its fields
        self.length = None  # another one than it has

    def encode(self):
        data = encode_fields(self.data) if isinstance(self.data, list) else self.data
        return struct.pack("<HHI", self.tag, self.kind, len(data) if self.length is None else self.length) + data

    def copy(self):
        data = [f.copy() for f in self.data] if isinstance(self.data, list) else self.data
        return Field(self.tag, self.kind, data)


def encode_fields(fields):
    return b"".join(f.encode() for f in fields)


def decode_fields(data):
    fields, at = [], 0
    while at < len(data):
        tag, kind, n = struct.unpack_from("<HHI", data, at)
        body = data[at + 8:at + 8 + n]
        assert len(body) == n
        fields.append(Field(tag, kind, decode_fields(body) if kind == FIELDS else body))
        at += 8 + n
    return fields


def decode(blob):
    """The fields of a whole blob."""
    assert blob[:8] == MAGIC and struct.unpack_from("<Q", blob, 16)[0] == len(blob) - 32
    return decode_fields(blob[32:])


def encode(fields, fmt=1, purpose=2, body=None):
    """The whole blob, with a checksum that is right."""
    body = encode_fields(fields) if body is None else body
    return MAGIC + struct.pack("<IIQQ", fmt, purpose, len(body), siphash24(KEY, body)) + body


def walk(fields):
    """(list, index) of each field, wherever it stands."""
    for i, f in enumerate(fields):
        yield fields, i
        if isinstance(f.data, list):
            yield from walk(f.data)


def descriptors(fields):
    return [f for where, i in walk(fields) for f in (where[i],) if f.kind == FD]


def spoil(fields, random):
    """One change at one place; says what."""
    places = list(walk(fields))
    where, i = random.choice(places)
    f = where[i]
    what = random.choice(("value", "value", "value", "kind", "length", "tag", "drop", "twice", "swap", "fd"))
    if what == "fd":
        fds = descriptors(fields)
        f = random.choice(fds)
        f.data = struct.pack("<i", random.choice((0, 1, 2, -1, 1000000, struct.unpack("<i", random.choice(fds).data)[0])))
    elif what == "kind":
        f.kind = random.choice(range(0, 12))
        f.data = encode_fields(f.data) if isinstance(f.data, list) else f.data
    elif what == "length":
        f.length = random.choice((0, 1, 7, 0xffffffff, 0x7fffffff, 1 << 20))
    elif what == "tag":
        f.tag = random.choice((0, 1, 2, 3, 5, 9, 77, 65535))
    elif what == "drop":
        del where[i]
    elif what == "twice":
        where.insert(i, f.copy())
    elif what == "swap":
        j = random.randrange(len(where))
        where[i], where[j] = where[j], where[i]
    elif f.kind in (U64, I64, DOUBLE):
        f.data = struct.pack("<Q", random.choice((0, 1, 2, 255, 1 << 31, 1 << 32, 1 << 62, 1 << 63, MASK, MASK - 1,
                                                   0x7ff0000000000000, random.getrandbits(64))))
    elif f.kind in (BYTES, STR, STRV, U64S):
        data = bytearray(f.data)
        for _ in range(random.choice((1, 3))):
            if data:
                data[random.randrange(len(data))] = random.choice((0, 10, 255, random.randrange(256)))
        f.data = random.choice((bytes(data), b"", bytes(data) * 2, bytes(data[:-1]), bytes(data) + b"\0", b"\xff" * 100000))
    elif f.kind == FIELDS:
        f.data = random.choice(([], f.data[:1], f.data + f.data, f.data[::-1]))
    return f"{what} of tag {f.tag} kind {f.kind}"
