// All kernels, one library.

#include "paged_attention.cpp"

#include "decoder_layer.cpp"

#include "screened_head.cpp"
