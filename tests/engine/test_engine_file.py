"""The engine file: whole or refused, whatever is wrong with it."""

from __future__ import annotations

import hashlib
import json
import random
import zlib

import pytest

from tipsc.engine import parse_engine, read_engine, write_engine
from tipsc.engine.atomic import write_atomically
from tipsc.engine.format import MAGIC, PAGE, PREFIX, VERSION, next_page
from tipsc.errors import DataError, EngineDamagedError, EngineVersionError, PathError, UsageError

REFUSED = (EngineDamagedError, EngineVersionError)


@pytest.fixture
def data(engine_file) -> bytes:
    return engine_file.read_bytes()


def test_round_trip(engine_file, net, graphs):
    engine = read_engine(engine_file)
    assert engine.manifest == net.manifest(list(graphs))
    assert engine.weights == net.store.blob
    assert {name: engine.graph(name) for name in graphs} == graphs


def test_the_weights_are_mapped_on_a_page_and_read_only(engine_file, data):
    engine = read_engine(engine_file)
    assert engine.weights.readonly
    assert data.index(bytes(engine.weights)) % PAGE == 0


def test_the_same_content_gives_the_same_bytes(net, graphs, data, tmp_path):
    write_engine(tmp_path / "again", net.manifest(list(graphs)), net.store.blob, dict(graphs))
    assert (tmp_path / "again").read_bytes() == data


def test_graphs_lie_in_the_order_in_which_they_are_given(net, graphs, tmp_path):
    backwards = dict(reversed(graphs.items()))
    write_engine(tmp_path / "again", net.manifest(list(graphs)), net.store.blob, backwards)
    found = read_engine(tmp_path / "again")
    assert found.order == tuple(backwards)
    assert {path: found.graph(path) for path in found.order} == graphs


def test_a_graph_more_at_the_end_changes_nothing_before_it(net, graphs, tmp_path):
    def packed(given):
        write_engine(tmp_path / "e", net.manifest(list(given)), net.store.blob, given)
        return unpacked((tmp_path / "e").read_bytes())[1]["graphs"]

    fewer = packed(dict(list(graphs.items())[:-1]))
    more = packed(graphs)
    end = 6  # an empty last block and the checksum
    assert more.startswith(fewer[:-end])


def test_the_content_hash_changes_with_the_content(net, graphs, engine_file, tmp_path):
    weights = bytearray(net.store.blob)
    weights[-1] ^= 1
    write_engine(tmp_path / "other", net.manifest(list(graphs)), weights, graphs)
    hashes = {read_engine(f).content_hash for f in (engine_file, tmp_path / "other")}
    assert len(hashes) == 2


def test_32_paths_cost_little_more_than_their_own_biases(net, tmp_path):
    graphs = net.paths(32)
    write_engine(tmp_path / "e", net.manifest(list(graphs)), net.store.blob, graphs)
    overhead = (tmp_path / "e").stat().st_size - len(net.store.blob)
    assert overhead < 0.5 * sum(map(len, graphs.values()))


def test_truncated_anywhere(data):
    cuts = [*range(0, len(data), 1000), *range(0, PREFIX.size + 8), len(data) - 1]
    for cut in cuts:
        with pytest.raises(EngineDamagedError):
            parse_engine(data[:cut])


def test_truncated_files_on_disk(data, tmp_path):
    for cut in (0, 1, len(data) // 2, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:cut])
        with pytest.raises(EngineDamagedError):
            read_engine(tmp_path / "cut")


def test_a_flipped_bit_anywhere(data):
    damaged = bytearray(data)
    for seed in range(10_000):
        position = random.Random(seed).randrange(8 * len(data))
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(REFUSED):
            parse_engine(damaged)
        damaged[position // 8] ^= 1 << position % 8
    parse_engine(damaged)  # all undone: whole again


def test_many_random_bytes(data):
    for seed in range(300):
        generator = random.Random(seed)
        damaged = bytearray(data)
        for _ in range(generator.randrange(2, 50)):
            damaged[generator.randrange(len(data))] = generator.randrange(256)
        if damaged != data:
            with pytest.raises(REFUSED):
                parse_engine(damaged)


def test_trailing_bytes(data):
    for tail in (b"\0", b"\0" * PAGE, data):
        with pytest.raises(EngineDamagedError, match="after the last section"):
            parse_engine(data + tail)


@pytest.mark.parametrize("version", [0, VERSION + 1, 2**32 - 1])
def test_another_version(data, version):
    with pytest.raises(EngineVersionError, match=f"got {version}"):
        parse_engine(data[:8] + version.to_bytes(4, "little") + data[12:])


def test_something_else_entirely():
    for content in (b"\x08\x07", b"PK\3\4" * 100, bytes(10_000)):
        with pytest.raises(EngineDamagedError, match="not an engine"):
            parse_engine(content)


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="cannot open"):
        read_engine(tmp_path / "none.tipsc")
    with pytest.raises(UsageError, match="cannot open"):
        read_engine(tmp_path)


# Forged files: their hashes are right, so only the checks behind the hashes can refuse them.


def unpacked(data: bytes) -> tuple[dict, dict[str, bytes]]:
    length = int.from_bytes(data[12:16], "little")
    header = json.loads(data[PREFIX.size : PREFIX.size + length])
    return header, {
        s["name"]: data[s["offset"] : s["offset"] + s["length"]] for s in header["sections"]
    }


def forged(header: dict, bodies: dict[str, bytes], *, lay_out=True, pad=b"\0") -> bytes:
    """A file with this header and these sections, all hashes right."""
    for _ in range(3 if lay_out else 1):  # the offsets settle
        text = json.dumps(header).encode()
        offset = PREFIX.size + len(text)
        for section in header["sections"]:
            body = bodies[section["name"]]
            section["sha256"] = hashlib.sha256(body).hexdigest()
            if lay_out:
                section["offset"], section["length"] = next_page(offset), len(body)
                offset = section["offset"] + len(body)
    text = json.dumps(header).encode()
    data = PREFIX.pack(MAGIC, VERSION, len(text), hashlib.sha256(text).digest()) + text
    for section in header["sections"]:
        data += pad * (-len(data) % PAGE) + bodies[section["name"]]
    return data


def test_a_forged_file_without_a_fault_is_read(data):
    assert parse_engine(forged(*unpacked(data))).manifest == parse_engine(data).manifest


def test_padding_that_is_not_zero(data):
    with pytest.raises(EngineDamagedError, match="padding"):
        parse_engine(forged(*unpacked(data), pad=b"x"))


@pytest.mark.parametrize(
    "edit",
    [
        lambda h: h["sections"][1].update(offset=h["sections"][0]["offset"]),
        lambda h: h["sections"][1].update(offset=h["sections"][1]["offset"] + PAGE),
        lambda h: h["sections"][1].update(offset=-PAGE),
        lambda h: h["sections"][2].update(length=2**62),
        lambda h: h["sections"][2].update(length=-1),
        lambda h: h["sections"].reverse(),
        lambda h: h["sections"].pop(),
        lambda h: h["sections"].append(dict(h["sections"][2])),
        lambda h: h["sections"][1].update(encoding="zlib"),
        lambda h: h["sections"][1].update(name="weights2"),
        lambda h: h["sections"][1].update(extra=1),
        lambda h: h.update(more=[]),
        lambda h: h.update(graphs=[]),
        lambda h: h["graphs"].pop(),
        lambda h: h["graphs"].append(h["graphs"][0]),
        lambda h: h["graphs"][0].update(length=h["graphs"][0]["length"] + 1),
        lambda h: h["graphs"][0].update(length=h["graphs"][0]["length"] - 1),
        lambda h: h["graphs"][0].update(length=-1),
        lambda h: h["graphs"][0].update(length=2**60),
        lambda h: h["graphs"][0].update(path="other"),
    ],
)
def test_a_forged_header(data, edit):
    header, bodies = unpacked(data)
    bodies["weights2"] = bodies["weights"]
    edit(header)
    with pytest.raises(EngineDamagedError):
        parse_engine(forged(header, bodies, lay_out=False))


def test_a_header_that_claims_to_be_endless(data):
    with pytest.raises(EngineDamagedError, match="too long"):
        parse_engine(data[:12] + b"\xff\xff\xff\x7f" + data[16:])


@pytest.mark.parametrize(
    "packed",
    [b"", b"not zlib", zlib.compress(b""), zlib.compress(bytes(10**8), 9)],
    ids=["empty", "garbage", "nothing", "bomb"],
)
def test_a_forged_graph_section(data, packed):
    header, bodies = unpacked(data)
    with pytest.raises(EngineDamagedError):
        parse_engine(forged(header, bodies | {"graphs": packed}))
    with pytest.raises(EngineDamagedError):
        parse_engine(forged(header, bodies | {"graphs": bodies["graphs"] + b"tail"}))


def test_a_graph_that_refers_outside_the_weights(data):
    header, bodies = unpacked(data)
    engine = parse_engine(forged(header, bodies | {"weights": bodies["weights"][:64]}))
    with pytest.raises(EngineDamagedError, match="outside the weights"):
        engine.graph(engine.manifest.paths[-1].id)


def test_the_writer_refuses_what_the_reader_would(net, graphs, tmp_path):
    manifest = net.manifest(list(graphs))
    with pytest.raises(DataError, match="different paths"):
        write_engine(tmp_path / "e", net.manifest(["ab"]), net.store.blob, graphs)
    with pytest.raises(EngineDamagedError, match="outside the weights"):
        write_engine(tmp_path / "e", manifest, net.store.blob[:64], graphs)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_path_names_near_ones(engine_file):
    with pytest.raises(PathError, match="00000001"):
        read_engine(engine_file).graph("0000000l")


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    def failing():
        yield b"half of "
        raise OSError("disk full")

    file = tmp_path / "f"
    file.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        write_atomically(file, failing())
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("f", b"old")]
