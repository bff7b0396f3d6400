/* A stand-in of tipsc's own: of CUDA's header of this name, what libtipsc uses. */
#pragma once
typedef struct CUstream_st *cudaStream_t;
