from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import os
import pickle
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data.unpickle import read_pickle
from hwnas_surrogate.errors import DataFileError, HWNASError

PROTOCOLS = [2, 3, 4, 5]


@pytest.fixture
def read(tmp_path):
    """Write bytes into a file, and read it."""

    def write_and_read(data: bytes) -> object:
        path = tmp_path / "file.pickle"
        path.write_bytes(data)
        return read_pickle(path)

    return write_and_read


# Opcodes by hand: what no pickler would write.
def head(protocol: int = 2) -> bytes:
    return pickle.PROTO + bytes([protocol])


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value.encode())) + value.encode()


def name(module: str, attribute: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


def integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def encoded(raw: bytes) -> bytes:
    """Return bytes as protocol 2 spells them."""
    arguments = text(raw.decode("latin-1")) + text("latin1") + pickle.TUPLE2
    return name("_codecs", "encode") + arguments + pickle.REDUCE


def old_dtype(code: str, state: bytes = b"") -> bytes:
    """Return a dtype as an old numpy wrote it: the flags align and copy are integers."""
    made = name("numpy", "dtype") + text(code) + integer(0) + integer(1) + pickle.TUPLE3 + pickle.REDUCE
    return made + (state or dtype_state("<")) + pickle.BUILD


def dtype_state(order: str, size: int = -1, flags: int = 0) -> bytes:
    sizes = integer(size) + integer(-1) + integer(flags)
    return pickle.MARK + integer(3) + text(order) + pickle.NONE * 3 + sizes + pickle.TUPLE


def old_array(shape: tuple[int, ...], dtype: bytes, raw: bytes, module: str = "numpy.core.multiarray") -> bytes:
    empty = name("numpy", "ndarray") + integer(0) + pickle.TUPLE1 + encoded(b"b") + pickle.TUPLE3
    sizes = b"".join(map(integer, shape))
    packed = {1: sizes + pickle.TUPLE1, 2: sizes + pickle.TUPLE2}.get(len(shape), pickle.MARK + sizes + pickle.TUPLE)
    state = pickle.MARK + integer(1) + packed + dtype + pickle.NEWFALSE + raw + pickle.TUPLE
    return name(module, "_reconstruct") + empty + pickle.REDUCE + state + pickle.BUILD


def deep_tuple(depth: int) -> bytes:
    return pickle.EMPTY_TUPLE + pickle.TUPLE1 * depth


class TestPlainData:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_gives_what_was_pickled(self, read, protocol):
        value = {
            "nasbench201": {"cifar10": {"config": [{"name": "infer.tiny", "C": 16, "arch_str": "|none~0|"}] * 3}},
            "numbers": [1.5, -1, 255, 256, 70_000, -(2**31), 2**40, -(2**70), True, False, None],
            "texts": ["", "é", "x" * 300],
            "shape": (3, 32, 32),
            7: b"\x00\xff",
        }
        assert read(pickle.dumps(value, protocol)) == value

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize(
        "array",
        [
            np.linspace(0, 1, 7),
            np.arange(12, dtype=np.int16).reshape(3, 4),
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.array([1.5, 2.5], dtype=">f4"),
            np.array([True, False]),
            np.array(["|none~0|", "é"]),
            np.array([b"ab", b"c"]),
            np.array(2.5),
        ],
        ids=lambda array: f"{array.dtype}-{array.ndim}d",
    )
    def test_gives_read_only_arrays(self, read, protocol, array):
        found = read(pickle.dumps({"values": array}, protocol))["values"]
        assert type(found) is np.ndarray
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
        assert not found.flags.writeable

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_gives_scalars_of_numpy(self, read, protocol):
        values = [np.float64(0.1), np.float32(0.1), np.int64(-3), np.bool_(True), np.str_("ab")]
        found = read(pickle.dumps(values, protocol))
        assert found == values
        assert [type(value) for value in found] == [type(value) for value in values]

    def test_gives_arrays_of_objects_with_what_is_in_them(self, read):
        array = np.empty(4, dtype=object)
        array[:] = [{"C": 16}, [1, 2], np.arange(3), None]
        found = read(pickle.dumps(array))
        assert found.dtype == object
        assert found[0] == {"C": 16}
        assert found[1] == [1, 2]
        np.testing.assert_array_equal(found[2], [0, 1, 2])
        assert found[3] is None

    def test_ordered_dict_becomes_a_dict(self, read):
        found = read(pickle.dumps(collections.OrderedDict(b=1, a=2)))
        assert type(found) is dict
        assert list(found.items()) == [("b", 1), ("a", 2)]

    def test_shared_and_recursive_containers_keep_their_identity(self, read):
        value: dict[str, object] = {"array": np.arange(3), "config": {"C": 16}}
        value |= {"same": value["array"], "again": value["config"], "self": value}
        found = read(pickle.dumps(value))
        assert found["same"] is found["array"]
        assert found["again"] is found["config"]
        assert found["self"] is found

    @pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
    def test_both_names_of_numpys_core_are_known(self, read, package):
        raw = np.array([0.25, 4.0]).tobytes()
        found = read(head() + old_array((2,), old_dtype("f8"), encoded(raw), f"{package}.multiarray") + pickle.STOP)
        assert found.tolist() == [0.25, 4.0]
        scalar = name(f"{package}.multiarray", "scalar") + old_dtype("f8") + encoded(raw[:8])
        assert read(head() + scalar + pickle.TUPLE2 + pickle.REDUCE + pickle.STOP) == 0.25
        buffer = name(f"{package}.numeric", "_frombuffer") + pickle.MARK + encoded(raw) + old_dtype("f8")
        buffer += integer(2) + pickle.TUPLE1 + text("C") + pickle.TUPLE + pickle.REDUCE
        assert read(head(5) + buffer + pickle.STOP).tolist() == [0.25, 4.0]

    @pytest.mark.parametrize("code", ["f8", "f4", "i8", "b1"])
    def test_old_dtypes_are_read_without_a_warning(self, read, code):
        raw = np.zeros(2, code).tobytes()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read(head() + old_array((2,), old_dtype(code), encoded(raw)) + pickle.STOP)
        assert found.dtype == np.dtype(code)
        assert caught == []

    def test_byte_order_of_old_dtypes_is_kept(self, read):
        raw = np.array([1.0, 2.0], dtype=">f8").tobytes()
        found = read(head() + old_array((2,), old_dtype("f8", dtype_state(">")), encoded(raw)) + pickle.STOP)
        assert found.tolist() == [1.0, 2.0]


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Plain:
    """An object with a state."""

    def __init__(self):
        self.value = 1


class TestNothingIsExecuted:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("place", ["root", "value", "element", "array"])
    def test_calls_are_refused_by_name(self, read, tmp_path, protocol, place):
        target = tmp_path / "made"
        call = Call(os.mkdir, str(target))
        array = np.empty(1, dtype=object)
        array[0] = call
        value = {"root": call, "value": {"a": call}, "element": [1, call], "array": array}[place]
        data = pickle.dumps(value, protocol)
        with pytest.raises(DataFileError, match=rf"'{os.mkdir.__module__}\.mkdir', which is refused"):
            read(data)
        assert not target.exists()

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_calls_in_keys_are_refused(self, read, tmp_path, protocol):
        target = tmp_path / "made"
        with pytest.raises(DataFileError, match=r"which is refused|tuple of something else"):
            read(pickle.dumps({(Call(os.mkdir, str(target)),): 1}, protocol))
        assert not target.exists()

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_objects_are_refused_by_the_name_of_their_class(self, read, protocol):
        with pytest.raises(DataFileError, match=rf"'{__name__}\.Plain', which is refused"):
            read(pickle.dumps([Plain()], protocol))

    def test_the_same_call_is_executed_by_pickle(self, tmp_path):
        target = tmp_path / "made"
        pickle.loads(pickle.dumps(Call(os.mkdir, str(target))))
        assert target.exists()

    def test_message_names_file_refusal_what_is_allowed_and_a_hint(self, read, tmp_path):
        with pytest.raises(DataFileError) as caught:
            read(head() + name("os", "system") + text("true") + pickle.TUPLE1 + pickle.REDUCE + pickle.STOP)
        for part in [str(tmp_path / "file.pickle"), "'os.system'", "numpy.ndarray", "hwnas data download"]:
            assert part in str(caught.value)
        assert isinstance(caught.value, HWNASError | ValueError)

    @pytest.mark.parametrize(
        "value",
        [
            Call(eval, "1"),
            Call(getattr, "a", "upper"),
            Call(np.load, "nowhere"),
            Call(np.testing.assert_equal, 1, 1),
            datetime.date(2020, 1, 1),
            decimal.Decimal(1),
            Path("a"),
            1j,
            np.dtype("f8").type,
            np.arange(3).view(np.recarray),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_other_names_are_refused(self, read, value):
        with pytest.raises(DataFileError, match="which is refused; allowed"):
            read(pickle.dumps(value, 2))

    @pytest.mark.parametrize(
        ("module", "attribute"),
        [
            ("numpy", "ndarray.tofile"),
            ("numpy.core.multiarray", "fromfile"),
            ("_codecs", "decode"),
            ("builtins", "getattr"),
            ("__builtin__", "eval"),
            ("", ""),
        ],
    )
    def test_names_near_the_allowed_ones_are_refused(self, read, module, attribute):
        with pytest.raises(DataFileError, match="refused"):
            read(head(4) + text(module) + text(attribute) + pickle.STACK_GLOBAL + pickle.STOP)

    def test_the_instance_opcodes_are_refused(self, read, tmp_path):
        target = tmp_path / "made"
        arguments = pickle.MARK + text(str(target))
        for payload in [
            arguments + pickle.INST + b"os\nmkdir\n",
            pickle.MARK + name("os", "mkdir") + text(str(target)) + pickle.OBJ,
            name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.NEWOBJ,
            name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.EMPTY_DICT + pickle.NEWOBJ_EX,
        ]:
            with pytest.raises(DataFileError, match=r"opcode (INST|OBJ|TUPLE)|inconsistent|which is refused"):
                read(head() + payload + pickle.STOP)
        assert not target.exists()

    @pytest.mark.parametrize(
        ("payload", "opcode"),
        [
            (pickle.PERSID + b"1\n", "PERSID"),
            (integer(1) + pickle.BINPERSID, "BINPERSID"),
            (pickle.EXT1 + b"\x01", "EXT1"),
            (pickle.EXT2 + b"\x01\x00", "EXT2"),
            (pickle.EXT4 + b"\x01\x00\x00\x00", "EXT4"),
            (pickle.NEXT_BUFFER, "NEXT_BUFFER"),
            (pickle.EMPTY_SET, "EMPTY_SET"),
            (pickle.INT + b"1\n", "INT"),
            (head(), "PROTO"),
        ],
    )
    def test_opcodes_that_plain_data_does_not_need_are_refused_by_name(self, read, payload, opcode):
        with pytest.raises(DataFileError, match=f"opcode {opcode} at byte"):
            read(head() + payload + pickle.STOP)

    @pytest.mark.parametrize(
        "payload",
        [
            name("numpy", "ndarray"),
            pickle.EMPTY_LIST + name("numpy", "dtype") + pickle.APPEND,
            pickle.EMPTY_LIST + old_dtype("f8") + pickle.APPEND,
            pickle.EMPTY_DICT + text("a") + name("_codecs", "encode") + pickle.SETITEM,
            old_array((1,), old_dtype("O8"), pickle.EMPTY_LIST + old_dtype("f8") + pickle.APPEND),
            # The arguments of a call, fetched again as data.
            name("numpy", "dtype") + text("f8") + integer(0) + integer(1) + pickle.TUPLE3 + pickle.BINPUT + b"\x00"
            + pickle.REDUCE + pickle.BINGET + b"\x00",
        ],
    )  # fmt: skip
    def test_what_serves_to_build_is_no_data(self, read, payload):
        with pytest.raises(DataFileError, match="where data is expected"):
            read(head() + payload + pickle.STOP)


class TestAllowedNamesAreHarmless:
    @pytest.mark.parametrize(
        "arguments",
        [
            text("abc") + pickle.TUPLE1,
            text("abc") + text("rot13") + pickle.TUPLE2,
            text("abc") + text("zlib_codec") + pickle.TUPLE2,
            text("abc") + text("latin1") + text("ignore") + pickle.TUPLE3,
            integer(1) + text("latin1") + pickle.TUPLE2,
        ],
    )
    def test_encode_takes_texts_and_latin1_only(self, read, arguments):
        with pytest.raises(DataFileError, match=r"_codecs\.encode otherwise"):
            read(head() + name("_codecs", "encode") + arguments + pickle.REDUCE + pickle.STOP)

    @pytest.mark.parametrize("code", ["V8", "f8,i4", "O", "(2,)f8", "M8[s]", "U0", "U99999", "f16", "c16", "object"])
    def test_other_dtypes_are_refused(self, read, code):
        with pytest.raises(DataFileError, match="asks for the dtype"):
            read(head() + old_dtype(code) + pickle.STOP)

    def test_structured_arrays_are_refused(self, read):
        array = np.zeros(2, dtype=[("a", "f8"), ("b", "i4")])
        with pytest.raises(DataFileError, match="tuple of something else"):
            read(pickle.dumps(array, 2))

    def test_state_cannot_change_what_a_dtype_is(self, read):
        # Fields beyond the end of the item: numpy itself would read foreign memory.
        fields = text("a") + old_dtype("f8") + integer(10_000) + pickle.TUPLE2 + pickle.BINPUT + b"\x00"
        for state in [
            pickle.MARK + integer(3) + text("<") + pickle.NONE + text("a") + fields + integer(9) * 3 + pickle.TUPLE,
            pickle.MARK + integer(3) + text("<") + pickle.NONE * 2 + pickle.EMPTY_DICT + integer(9) * 3 + pickle.TUPLE,
            pickle.MARK + integer(4) + text("<") + pickle.NONE * 3 + integer(9) * 3 + pickle.NONE + pickle.TUPLE,
            dtype_state("?"),
        ]:
            with pytest.raises(DataFileError, match=r"not a plain one|tuple"):
                read(head() + old_dtype("f8", state) + pickle.STOP)

    def test_state_cannot_change_numpys_own_dtypes(self, read):
        read(head() + old_array((1,), old_dtype("f8", dtype_state(">", 4, 63)), encoded(b"\0" * 8)) + pickle.STOP)
        assert np.dtype("f8").itemsize == 8
        assert np.dtype("f8").isnative
        assert np.float64(1.5).tobytes() == struct.pack("=d", 1.5)

    def test_bytes_never_become_objects(self, read):
        # With cleared flags, numpy's own dtype takes the bytes for pointers.
        dtype = old_dtype("O8", dtype_state("|", -1, 0))
        with pytest.raises(DataFileError, match="with other contents"):
            read(head() + old_array((1,), dtype, encoded(b"\x10" * 8)) + pickle.STOP)
        scalar = name("numpy.core.multiarray", "scalar") + dtype + encoded(b"\x10" * 8) + pickle.TUPLE2
        with pytest.raises(DataFileError, match="scalar with unknown arguments"):
            read(head() + scalar + pickle.REDUCE + pickle.STOP)

    def test_scalars_do_not_nest_pickles(self, read, tmp_path):
        target = tmp_path / "made"
        inner = pickle.dumps(Call(os.mkdir, str(target)), 2)
        scalar = name("numpy.core.multiarray", "scalar") + old_dtype("O8") + encoded(inner) + pickle.TUPLE2
        with pytest.raises(DataFileError, match="scalar with unknown arguments"):
            read(head() + scalar + pickle.REDUCE + pickle.STOP)
        assert not target.exists()

    @pytest.mark.parametrize(
        ("shape", "size"), [((2,), 8), ((2,), 24), ((2**31 - 1,) * 2, 8), ((-1,), 8), ((2**31 - 1,) * 40, 8)]
    )
    def test_an_arrays_shape_must_be_that_of_its_contents(self, read, shape, size):
        with pytest.raises(DataFileError, match="describes an array of shape"):
            read(head() + old_array(shape, old_dtype("f8"), encoded(b"\0" * size)) + pickle.STOP)

    def test_an_array_without_contents_is_refused(self, read):
        empty = name("numpy", "ndarray") + integer(0) + pickle.TUPLE1 + encoded(b"b") + pickle.TUPLE3
        with pytest.raises(DataFileError, match="without contents"):
            read(head() + name("numpy.core.multiarray", "_reconstruct") + empty + pickle.REDUCE + pickle.STOP)

    @pytest.mark.parametrize(
        "payload",
        [
            name("numpy", "ndarray") + integer(3) + pickle.TUPLE1 + pickle.REDUCE,
            name("collections", "OrderedDict") + pickle.EMPTY_LIST + pickle.TUPLE1 + pickle.REDUCE,
            name("numpy.core.multiarray", "_reconstruct") + name("numpy", "dtype") + integer(0) + pickle.TUPLE1
            + encoded(b"b") + pickle.TUPLE3 + pickle.REDUCE,
            name("numpy.core.numeric", "_frombuffer") + pickle.MARK + encoded(b"") + old_dtype("f8") + integer(0)
            + pickle.TUPLE1 + text("A") + pickle.TUPLE + pickle.REDUCE,
            text("upper") + pickle.EMPTY_TUPLE + pickle.REDUCE,
        ],
    )  # fmt: skip
    def test_other_calls_are_refused(self, read, payload):
        with pytest.raises(DataFileError, match=r"it calls|inconsistent"):
            read(head() + payload + pickle.STOP)

    @pytest.mark.parametrize("target", [name("numpy", "dtype"), pickle.EMPTY_LIST, pickle.EMPTY_DICT, text("a")])
    def test_no_other_state_can_be_set(self, read, target):
        slots = pickle.EMPTY_DICT + text("name") + text("os.system") + pickle.SETITEM
        for state in [slots, pickle.MARK + pickle.NONE + slots + pickle.TUPLE]:
            with pytest.raises(DataFileError, match=r"sets the state|AttributeError"):
                read(head() + target + state + pickle.BUILD + pickle.STOP)
        assert read(pickle.dumps(np.arange(2))).tolist() == [0, 1]


class TestBombs:
    @pytest.mark.parametrize(
        ("opcode", "layout"),
        [
            (pickle.BINUNICODE, "<I"),
            (pickle.BINBYTES, "<I"),
            (pickle.BINUNICODE8, "<Q"),
            (pickle.BINBYTES8, "<Q"),
            (pickle.BYTEARRAY8, "<Q"),
            (pickle.FRAME, "<Q"),
        ],
    )
    def test_claims_beyond_the_file_are_refused(self, read, opcode, layout):
        claim = 2 ** (8 * struct.calcsize(layout)) - 1
        with pytest.raises(DataFileError, match=f"claims {claim:,} more, 2 are left"):
            read(head(4) + opcode + struct.pack(layout, claim) + b"a" + pickle.STOP)

    def test_memo_indices_do_not_reserve_memory(self, read):
        with pytest.raises(DataFileError, match="remembers more values"):
            read(head() + pickle.EMPTY_DICT + pickle.LONG_BINPUT + b"\xff\xff\xff\xff" + pickle.STOP)

    @pytest.mark.parametrize("depth", [2, 1_000_000])
    def test_nested_tuples_are_refused(self, read, depth):
        payload = pickle.EMPTY_DICT + deep_tuple(depth) + integer(1) + pickle.SETITEM
        with pytest.raises(DataFileError, match="tuple of something else than integers"):
            read(head() + payload + pickle.STOP)

    def test_states_cannot_nest_tuples_either(self, read):
        scalar = name("numpy.core.multiarray", "scalar") + old_dtype("f8") + encoded(b"\0" * 8) + pickle.TUPLE2
        once = pickle.MARK + pickle.BINGET + b"\x00" + pickle.TUPLE + pickle.BINPUT + b"\x00" + pickle.BUILD
        payload = pickle.EMPTY_TUPLE + pickle.BINPUT + b"\x00" + scalar + pickle.REDUCE + once
        with pytest.raises(DataFileError, match="unknown way"):
            read(head() + payload + pickle.STOP)

    def test_calls_on_one_remembered_value_do_not_multiply(self, read):
        get, put = pickle.BINGET, pickle.BINPUT
        first = text("x" * 100_000) + put + b"\x00" + text("latin1") + put + b"\x01"
        again = name("_codecs", "encode") + get + b"\x00" + get + b"\x01" + pickle.TUPLE2 + pickle.REDUCE
        with pytest.raises(DataFileError, match="many times its size"):
            read(head() + pickle.EMPTY_LIST + pickle.MARK + first + again * 100 + pickle.APPENDS + pickle.STOP)

    def test_containers_that_share_are_visited_once(self, read):
        value: list[object] = [np.arange(2)]
        for _ in range(200):
            value = [value, value]
        found = read(pickle.dumps(value))
        assert found[0] is found[1]

    def test_deep_lists_are_read(self, read):
        value: list[object] = []
        for _ in range(300):
            value = [value]
        assert read(pickle.dumps(value)) == value

    @pytest.mark.parametrize("key", [pickle.NONE, integer(1) + pickle.TUPLE1, pickle.BINFLOAT + b"\0" * 8])
    def test_keys_are_texts_or_integers(self, read, key):
        with pytest.raises(DataFileError, match="neither a text nor an integer"):
            read(head() + pickle.EMPTY_DICT + key + integer(1) + pickle.SETITEM + pickle.STOP)


class TestDamagedFiles:
    def test_every_truncation_is_an_error(self, read):
        for protocol in [2, 5]:
            data = pickle.dumps([np.arange(3.0), 1, "x", 2.5, (1, 2)], protocol)
            for length in range(len(data)):
                with pytest.raises(DataFileError):
                    read(data[:length])

    def test_truncation_is_named(self, read):
        data = pickle.dumps({"a": list(range(1000, 1010)), "b": "text"}, 2)
        for length in range(2, len(data)):
            with pytest.raises(DataFileError, match="truncated"):
                read(data[:length])

    def test_random_damage_gives_data_or_a_data_file_error(self, read):
        rng = np.random.default_rng(0)
        data = pickle.dumps({"a": np.arange(3.0), "b": [1, np.float64(2), {"c": (1, 2)}]}, 2)
        for _ in range(300):
            damaged = bytearray(data)
            for position in rng.integers(2, len(data), size=rng.integers(1, 4)):
                damaged[position] = rng.integers(256)
            with contextlib.suppress(DataFileError):
                read(bytes(damaged))

    def test_empty_file(self, read):
        with pytest.raises(DataFileError, match="is empty"):
            read(b"")

    @pytest.mark.parametrize(
        "data",
        [
            b"\x80",
            b"\x80\x01.",
            b"\x80\x06.",
            b"<!DOCTYPE html><html>",
            b"version https://git-lfs.github.com/spec/v1",
            pickle.dumps([1], 0),
            bytes(range(256)),
        ],
    )
    def test_what_is_no_pickle_is_shown(self, read, data):
        with pytest.raises(DataFileError, match="no pickle of protocol 2 to 5: it begins with b'"):
            read(data)

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            pickle.APPEND,
            pickle.EMPTY_LIST + pickle.APPENDS,
            pickle.BINGET + b"\x07",
            integer(1) * 2 + pickle.APPEND,
            pickle.EMPTY_DICT + pickle.EMPTY_LIST + integer(1) + pickle.SETITEM,
            pickle.MARK,
            pickle.BINUNICODE + b"\x01\x00\x00\x00\xff",
            integer(1) * 2 + pickle.STACK_GLOBAL,
            b"\xff",
        ],
    )
    def test_inconsistent_contents(self, read, payload):
        with pytest.raises(DataFileError, match=r"inconsistent|damaged"):
            read(head() + payload + pickle.STOP)

    def test_missing_file(self, tmp_path):
        with pytest.raises(DataFileError, match=r"no such file; `hwnas data download` fetches"):
            read_pickle(tmp_path / "none.pickle")

    def test_folder(self, tmp_path):
        with pytest.raises(DataFileError, match="it is a folder, not a file"):
            read_pickle(str(tmp_path))


@pytest.mark.real_data
class TestRealFiles:
    @pytest.mark.parametrize("file", ["full-structure-old-numpy.pickle", "HW-NAS-Bench-subset.pickle"])
    def test_gives_what_pickle_gives(self, shared_data, file):
        found = read_pickle(shared_data / file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = pickle.loads((shared_data / file).read_bytes())
        assert_same(found, expected)

    def test_no_warning(self, shared_data):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read_pickle(shared_data / "full-structure-old-numpy.pickle")
        assert caught == []

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.999999])
    def test_truncated(self, shared_data, read, part):
        data = (shared_data / "full-structure-old-numpy.pickle").read_bytes()
        with pytest.raises(DataFileError, match="truncated"):
            read(data[: int(part * len(data))])


def assert_same(found: object, expected: object) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    else:
        assert found == expected
