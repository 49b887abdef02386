// What Python hands over; the layout of these structures is the ABI.
#pragma once

#include <cstdint>

extern "C" {

struct Slice {  // of the flat batch
    int32_t first, count;  // rows
    int32_t start;         // position of the first row
    int32_t table, blocks; // its block table in `Step::blocks`: where it begins, how long it is
};

struct Step {
    void* pool;  // [block][layer][K|V][kv_head][block_size][head_dim]
    const int32_t* blocks;
    const Slice* slices;
    int64_t* slots;  // of each row: block * block_size + offset; null: its key and value are there
    int32_t num_slices, num_rows, num_blocks, num_layers, num_heads, num_kv_heads, head_dim;
    int32_t block_size, dtype, threads;  // dtype: 0 float32, 1 bfloat16, 2 float16
};

struct Layer {
    const void *query, *key, *value;  // [rows][heads][head_dim]
    void* output;                     // as query, contiguous
    int64_t query_row, query_head, key_row, key_head, value_row, value_head;  // strides, numbers
    int32_t layer, window;   // window 0: none
    float scaling, softcap;  // softcap 0: none
};

}  // extern "C"
