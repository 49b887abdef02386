"""Paged attention in Triton: K and V into the pool, decode split over the keys, prompts in tiles.

A pool comes as one layer of it: `[block][K|V][kv_head][block_size][head_dim]`, of any stride between
blocks. Sums are made in float32, in an order that follows from a row's own position alone: so a row
has the same bits whoever else is in the step. Flash attention with an online softmax (Dao, 2023,
arXiv:2307.08691), decode split over the keys as in Flash-Decoding.
"""

import triton
import triton.language as tl


@triton.jit
def write_rows(
    pool,
    key,
    value,
    slots,  # int64 [rows]: block * BLOCK_SIZE + place in it
    pool_block,
    pool_kind,
    pool_head,
    key_row,
    key_head,
    value_row,
    value_head,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    """One program per (row, KV head)."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    slot = tl.load(slots + row)
    dims = tl.arange(0, PADDED_DIM)
    inside = dims < HEAD_DIM
    place = slot // BLOCK_SIZE * pool_block + head * pool_head + slot % BLOCK_SIZE * HEAD_DIM
    keys = tl.load(key + row * key_row + head * key_head + dims, mask=inside)
    values = tl.load(value + row * value_row + head * value_head + dims, mask=inside)
    tl.store(pool + place + dims, keys, mask=inside)
    tl.store(pool + pool_kind + place + dims, values, mask=inside)


@triton.jit
def _attend_to_tile(
    best,  # float32 [M], the greatest score so far
    total,  # float32 [M], of exp(score - best)
    output,  # float32 [M, PADDED_DIM], of exp(score - best) * V
    queries,  # [M, PADDED_DIM]
    pool,  # at the head
    table,  # at the sequence
    positions,  # int32 [N], of the keys
    seen,  # bool [M, N]
    exists,  # bool [N]
    pool_block,
    pool_kind,
    scaling,
    softcap,
    HAS_CAP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    """One step of the online softmax."""
    dims = tl.arange(0, PADDED_DIM)
    inside = dims < HEAD_DIM
    blocks = tl.load(table + positions // BLOCK_SIZE, mask=exists, other=0).to(tl.int64)
    places = blocks * pool_block + positions % BLOCK_SIZE * HEAD_DIM
    mask = exists[:, None] & inside[None, :]
    keys = tl.load(pool + places[:, None] + dims[None, :], mask=mask, other=0.0)
    scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scaling
    if HAS_CAP:  # softcap * tanh(scores / softcap)
        scores = softcap * (2 * tl.sigmoid(2 * scores / softcap) - 1)
    scores = tl.where(seen, scores, float("-inf"))
    now_best = tl.maximum(best, tl.max(scores, 1))
    base = tl.where(now_best == float("-inf"), 0.0, now_best)  # a row that sees nothing of the tile
    weights = tl.exp(scores - base[:, None])
    rest = tl.exp(best - base)
    values = tl.load(pool + pool_kind + places[:, None] + dims[None, :], mask=mask, other=0.0)
    added = tl.dot(weights.to(values.dtype), values, input_precision="ieee")
    return now_best, total * rest + tl.sum(weights, 1), output * rest[:, None] + added


@triton.jit
def decode_part(
    part_best,  # float32 [sequences, heads, splits]
    part_total,
    part_output,  # float32 [sequences, heads, splits, HEAD_DIM]
    query,
    pool,
    rows,  # int32 [sequences]: of the query
    contexts,  # int32 [sequences]: keys, the row's own included
    tables,
    query_row,
    query_head,
    pool_block,
    pool_kind,
    pool_head,
    table_row,
    scaling,
    softcap,
    window,
    num_splits,
    HAS_CAP: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    GROUP: tl.constexpr,  # query heads per KV head
    PADDED_GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    SPLIT: tl.constexpr,  # keys of one program
    KEYS: tl.constexpr,  # keys of one tile
):
    """One program per (sequence, KV head, split of the keys)."""
    sequence, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    context = tl.load(contexts + sequence)
    low = 0
    if HAS_WINDOW:
        low = tl.maximum(0, context - window)
    begin = split * SPLIT
    end = tl.minimum(begin + SPLIT, context)
    if end <= tl.maximum(begin, low):
        return
    begin = tl.maximum(begin, low // KEYS * KEYS)
    row = tl.load(rows + sequence).to(tl.int64)
    dims = tl.arange(0, PADDED_DIM)
    inside = dims < HEAD_DIM
    member = tl.arange(0, PADDED_GROUP)
    exists = (member < GROUP)[:, None] & inside[None, :]
    heads = head * GROUP + member
    queries = tl.load(
        query + row * query_row + heads[:, None] * query_head + dims[None, :],
        mask=exists,
        other=0.0,
    )
    best = tl.full([PADDED_GROUP], float("-inf"), tl.float32)
    total = tl.zeros([PADDED_GROUP], tl.float32)
    output = tl.zeros([PADDED_GROUP, PADDED_DIM], tl.float32)
    for first in range(begin, end, KEYS):
        positions = first + tl.arange(0, KEYS)
        seen = (positions < end) & (positions >= low)
        best, total, output = _attend_to_tile(
            best,
            total,
            output,
            queries,
            pool + head * pool_head,
            tables + sequence.to(tl.int64) * table_row,
            positions,
            seen[None, :],
            seen,
            pool_block,
            pool_kind,
            scaling,
            softcap,
            HAS_CAP,
            HEAD_DIM,
            PADDED_DIM,
            BLOCK_SIZE,
        )
    part = (sequence.to(tl.int64) * tl.num_programs(1) * GROUP + heads) * num_splits + split
    tl.store(part_best + part, best, mask=member < GROUP)
    tl.store(part_total + part, total, mask=member < GROUP)
    tl.store(part_output + part[:, None] * HEAD_DIM + dims[None, :], output, mask=exists)


@triton.jit
def decode_whole(
    output,  # [rows, heads, HEAD_DIM], contiguous
    part_best,
    part_total,
    part_output,
    rows,
    contexts,
    window,
    num_splits,
    HAS_WINDOW: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """Adds the parts up, first to last. One program per (sequence, head)."""
    sequence, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    heads = tl.num_programs(1)
    context = tl.load(contexts + sequence)
    low = 0
    if HAS_WINDOW:
        low = tl.maximum(0, context - window)
    dims = tl.arange(0, PADDED_DIM)
    inside = dims < HEAD_DIM
    best = tl.full([1], float("-inf"), tl.float32)
    total = tl.zeros([1], tl.float32)
    summed = tl.zeros([PADDED_DIM], tl.float32)
    for split in range(low // SPLIT, tl.cdiv(context, SPLIT)):
        part = (sequence * heads + head) * num_splits + split
        one_best = tl.load(part_best + part)
        now_best = tl.maximum(best, one_best)
        rest, share = tl.exp(best - now_best), tl.exp(one_best - now_best)
        values = tl.load(part_output + part * HEAD_DIM + dims, mask=inside, other=0.0)
        total = total * rest + tl.load(part_total + part) * share
        summed = summed * rest + values * share
        best = now_best
    row = tl.load(rows + sequence).to(tl.int64)
    result = (summed / total).to(output.dtype.element_ty)
    tl.store(output + (row * heads + head) * HEAD_DIM + dims, result, mask=inside)


@triton.jit
def prefill_tile(
    output,  # [rows, heads, HEAD_DIM], contiguous
    query,
    pool,
    tile_slices,  # int32 [tiles]
    tile_rows,  # int32 [tiles]: first row of the tile in its slice
    firsts,  # int32 [slices]: first row of the slice in the step
    counts,  # int32 [slices]: rows
    starts,  # int32 [slices]: position of the first row
    tables,
    query_row,
    query_head,
    pool_block,
    pool_kind,
    pool_head,
    table_row,
    scaling,
    softcap,
    window,
    HAS_CAP: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    ROWS: tl.constexpr,  # of one tile
    KEYS: tl.constexpr,
):
    """One program per (tile of one slice's rows, head)."""
    tile, head = tl.program_id(0), tl.program_id(1)
    heads = tl.num_programs(1)
    piece, row = tl.load(tile_slices + tile), tl.load(tile_rows + tile)
    count, start = tl.load(counts + piece), tl.load(starts + piece)
    members = row + tl.arange(0, ROWS)
    at = (tl.load(firsts + piece) + members).to(tl.int64)
    dims = tl.arange(0, PADDED_DIM)
    exists = (members < count)[:, None] & (dims < HEAD_DIM)[None, :]
    queries = tl.load(
        query + at[:, None] * query_row + head * query_head + dims[None, :], mask=exists, other=0.0
    )
    own = start + members  # positions of the rows
    low = 0
    if HAS_WINDOW:
        low = tl.maximum(0, start + row - window + 1) // KEYS * KEYS
    end = start + tl.minimum(row + ROWS, count)
    best = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    summed = tl.zeros([ROWS, PADDED_DIM], tl.float32)
    for first in range(low, end, KEYS):
        positions = first + tl.arange(0, KEYS)
        seen = positions[None, :] <= own[:, None]
        if HAS_WINDOW:
            seen = seen & (positions[None, :] > own[:, None] - window)
        best, total, summed = _attend_to_tile(
            best,
            total,
            summed,
            queries,
            pool + head // GROUP * pool_head,
            tables + piece.to(tl.int64) * table_row,
            positions,
            seen,
            positions < end,
            pool_block,
            pool_kind,
            scaling,
            softcap,
            HAS_CAP,
            HEAD_DIM,
            PADDED_DIM,
            BLOCK_SIZE,
        )
    total = tl.where(members < count, total, 1.0)
    result = (summed / total[:, None]).to(output.dtype.element_ty)
    place = (at[:, None] * heads + head) * HEAD_DIM + dims[None, :]
    tl.store(output + place, result, mask=exists)
