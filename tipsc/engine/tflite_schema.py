"""The part of the schema of .tflite files that engines use: tables, and operators.

Names and numbers are those of TensorFlow's ``schema.fbs``. A ``-`` stands for a slot that tipsc
leaves empty; some of them name files or bytes elsewhere, or code of others.
"""

from __future__ import annotations

from dataclasses import dataclass

from tipsc.engine.flatbuffer import Schema, table

_TABLES = {
    "Model": "version:u32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:text"
    " buffers:[Buffer] - - signature_defs:[SignatureDef] - -",
    "OperatorCode": "deprecated_builtin_code:i8 - version:i32=1 builtin_code:i32",
    "SubGraph": "tensors:[Tensor] inputs:[i32] outputs:[i32] operators:[Operator] name:text"
    " debug_metadata_index:i32=-1",
    "Tensor": "shape:[i32] type:i8 buffer:u32 name:text quantization:QuantizationParameters -"
    " sparsity:SparsityParameters - has_rank:bool - -",
    "Operator": "opcode_index:u32 inputs:[i32] outputs:[i32] builtin_options_type:u8"
    " builtin_options:<BuiltinOptions - - - - - - - - debug_metadata_index:i32=-1",
    "Buffer": "data:bytes offset:u64 size:u64",
    "SignatureDef": "inputs:[TensorMap] outputs:[TensorMap] signature_key:text -"
    " subgraph_index:u32",
    "TensorMap": "name:text tensor_index:u32",
    "QuantizationParameters": "min:[f32] max:[f32] scale:[f32] zero_point:[i64] - -"
    " quantized_dimension:i32",
    "SparsityParameters": "traversal_order:[i32] - dim_metadata:[DimensionMetadata]",
    "DimensionMetadata": "format:i8 dense_size:i32 - - - -",
}

#: options of operators: their number in the union, and their table
_OPTIONS = {
    "Conv2DOptions": (1, "padding:i8 stride_w:i32 stride_h:i32 fused_activation_function:i8"
                      " dilation_w:i32=1 dilation_h:i32=1 quantized_bias_type:i8"),
    "DepthwiseConv2DOptions": (2, "padding:i8 stride_w:i32 stride_h:i32 depth_multiplier:i32"
                               " fused_activation_function:i8 dilation_w:i32=1 dilation_h:i32=1"),
    "Pool2DOptions": (5, "padding:i8 stride_w:i32 stride_h:i32 filter_width:i32"
                      " filter_height:i32 fused_activation_function:i8"),
    "FullyConnectedOptions": (8, "fused_activation_function:i8 weights_format:i8"
                              " keep_num_dims:bool asymmetric_quantize_inputs:bool"
                              " quantized_bias_type:i8 -"),
    "SoftmaxOptions": (9, "beta:f32"),
    "ConcatenationOptions": (10, "axis:i32 fused_activation_function:i8"),
    "AddOptions": (11, "fused_activation_function:i8 pot_scale_int16:bool=1"),
    "L2NormOptions": (12, "fused_activation_function:i8"),
    "LocalResponseNormalizationOptions": (13, "radius:i32 bias:f32 alpha:f32 beta:f32"),
    "ResizeBilinearOptions": (15, "- - align_corners:bool half_pixel_centers:bool"),
    "ReshapeOptions": (17, "new_shape:[i32]"),
    "SpaceToDepthOptions": (19, "block_size:i32"),
    "MulOptions": (21, "fused_activation_function:i8"),
    "PadOptions": (22, ""),
    "GatherOptions": (23, "axis:i32 batch_dims:i32"),
    "TransposeOptions": (26, ""),
    "ReducerOptions": (27, "keep_dims:bool"),
    "SubOptions": (28, "fused_activation_function:i8 pot_scale_int16:bool=1"),
    "DivOptions": (29, "fused_activation_function:i8"),
    "SqueezeOptions": (30, "squeeze_dims:[i32]"),
    "StridedSliceOptions": (32, "begin_mask:i32 end_mask:i32 ellipsis_mask:i32"
                            " new_axis_mask:i32 shrink_axis_mask:i32 offset:bool"),
    "ExpOptions": (33, ""),
    "SplitOptions": (35, "num_splits:i32"),
    "LogSoftmaxOptions": (36, ""),
    "CastOptions": (37, "in_data_type:i8 out_data_type:i8"),
    "DequantizeOptions": (38, ""),
    "MaximumMinimumOptions": (39, ""),
    "ArgMaxOptions": (40, "output_type:i8"),
    "LessOptions": (41, ""),
    "NegOptions": (42, ""),
    "PadV2Options": (43, ""),
    "GreaterOptions": (44, ""),
    "GreaterEqualOptions": (45, ""),
    "LessEqualOptions": (46, ""),
    "SelectOptions": (47, ""),
    "SliceOptions": (48, ""),
    "TransposeConvOptions": (49, "padding:i8 stride_w:i32 stride_h:i32"
                             " fused_activation_function:i8 quantized_bias_type:i8"),
    "TileOptions": (51, ""),
    "ExpandDimsOptions": (52, ""),
    "EqualOptions": (53, ""),
    "NotEqualOptions": (54, ""),
    "PowOptions": (56, ""),
    "ArgMinOptions": (57, "output_type:i8"),
    "PackOptions": (59, "values_count:i32 axis:i32"),
    "LogicalOrOptions": (60, ""),
    "LogicalAndOptions": (62, ""),
    "LogicalNotOptions": (63, ""),
    "UnpackOptions": (64, "num:i32 axis:i32"),
    "FloorDivOptions": (65, ""),
    "SquareOptions": (66, ""),
    "ZerosLikeOptions": (67, ""),
    "FillOptions": (68, ""),
    "FloorModOptions": (72, ""),
    "ResizeNearestNeighborOptions": (74, "align_corners:bool half_pixel_centers:bool"),
    "LeakyReluOptions": (75, "alpha:f32"),
    "SquaredDifferenceOptions": (76, ""),
    "MirrorPadOptions": (77, "mode:i8"),
    "AbsOptions": (78, ""),
    "SplitVOptions": (79, "num_splits:i32"),
    "ReverseV2Options": (81, ""),
    "AddNOptions": (82, ""),
    "GatherNdOptions": (83, ""),
    "CosOptions": (84, ""),
    "QuantizeOptions": (89, ""),
    "HardSwishOptions": (91, ""),
    "DepthToSpaceOptions": (94, "block_size:i32"),
    "SelectV2Options": (98, ""),
    "DensifyOptions": (99, ""),
    "BatchMatMulOptions": (101, "adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool"),
    "CumsumOptions": (102, "exclusive:bool reverse:bool"),
    "BroadcastToOptions": (104, ""),
    "Conv3DOptions": (106, "padding:i8 stride_d:i32 stride_w:i32 stride_h:i32"
                      " fused_activation_function:i8 dilation_d:i32=1 dilation_w:i32=1"
                      " dilation_h:i32=1"),
    "GeluOptions": (116, "approximate:bool"),
    "ATan2Options": (122, ""),
    "SignOptions": (123, ""),
}  # fmt: skip

#: of a .tflite; the root is ``Model``
SCHEMA = Schema(
    {name: table(text) for name, text in _TABLES.items()}
    | {name: table(text) for name, (_, text) in _OPTIONS.items()},
    {"BuiltinOptions": {number: name for name, (number, _) in _OPTIONS.items()}},
)


@dataclass(frozen=True)
class Kind:
    """An operator.

    Attributes:
        name: of ``BuiltinOperator``.
        options: the tables that it may have; none is always allowed.
        rule: a function of :mod:`tipsc.engine.tflite_shapes`.
        inputs: the fewest and the most that it takes.
    """

    name: str
    options: str
    rule: str
    inputs: tuple[int, int]


_OPERATORS = """
0 ADD AddOptions broadcast 2            1 AVERAGE_POOL_2D Pool2DOptions pool 1
2 CONCATENATION ConcatenationOptions concatenation 1-999
3 CONV_2D Conv2DOptions conv_2d 3     4 DEPTHWISE_CONV_2D DepthwiseConv2DOptions depthwise 3
5 DEPTH_TO_SPACE DepthToSpaceOptions depth_to_space 1
6 DEQUANTIZE DequantizeOptions same 1   7 EMBEDDING_LOOKUP - embedding_lookup 2
8 FLOOR - same 1                        9 FULLY_CONNECTED FullyConnectedOptions fully_connected 2-3
11 L2_NORMALIZATION L2NormOptions same 1
13 LOCAL_RESPONSE_NORMALIZATION LocalResponseNormalizationOptions same 1
14 LOGISTIC - same 1                    17 MAX_POOL_2D Pool2DOptions pool 1
18 MUL MulOptions broadcast 2           19 RELU - same 1
20 RELU_N1_TO_1 - same 1                21 RELU6 - same 1
22 RESHAPE ReshapeOptions reshape 1-2   23 RESIZE_BILINEAR ResizeBilinearOptions resize 2
25 SOFTMAX SoftmaxOptions same 1        26 SPACE_TO_DEPTH SpaceToDepthOptions space_to_depth 1
28 TANH - same 1                        34 PAD PadOptions pad 2
36 GATHER GatherOptions gather 2        39 TRANSPOSE TransposeOptions transpose 2
40 MEAN ReducerOptions reduce 2         41 SUB SubOptions broadcast 2
42 DIV DivOptions broadcast 2           43 SQUEEZE SqueezeOptions squeeze 1
45 STRIDED_SLICE StridedSliceOptions strided_slice 4
47 EXP ExpOptions same 1                49 SPLIT SplitOptions split 2
50 LOG_SOFTMAX LogSoftmaxOptions same 1 53 CAST CastOptions same 1
54 PRELU - prelu 2                      55 MAXIMUM MaximumMinimumOptions broadcast 2
56 ARG_MAX ArgMaxOptions arg 2          57 MINIMUM MaximumMinimumOptions broadcast 2
58 LESS LessOptions broadcast 2         59 NEG NegOptions same 1
60 PADV2 PadV2Options pad 3             61 GREATER GreaterOptions broadcast 2
62 GREATER_EQUAL GreaterEqualOptions broadcast 2
63 LESS_EQUAL LessEqualOptions broadcast 2
64 SELECT SelectOptions broadcast 3     65 SLICE SliceOptions slice 3
66 SIN - same 1                         67 TRANSPOSE_CONV TransposeConvOptions transpose_conv 3-4
69 TILE TileOptions tile 2              70 EXPAND_DIMS ExpandDimsOptions expand_dims 2
71 EQUAL EqualOptions broadcast 2       72 NOT_EQUAL NotEqualOptions broadcast 2
73 LOG - same 1                         74 SUM ReducerOptions reduce 2
75 SQRT - same 1                        76 RSQRT - same 1
78 POW PowOptions broadcast 2           79 ARG_MIN ArgMinOptions arg 2
81 REDUCE_PROD ReducerOptions reduce 2  82 REDUCE_MAX ReducerOptions reduce 2
83 PACK PackOptions pack 1-999          84 LOGICAL_OR LogicalOrOptions broadcast 2
86 LOGICAL_AND LogicalAndOptions broadcast 2
87 LOGICAL_NOT LogicalNotOptions same 1 88 UNPACK UnpackOptions unpack 1
89 REDUCE_MIN ReducerOptions reduce 2   90 FLOOR_DIV FloorDivOptions broadcast 2
91 REDUCE_ANY ReducerOptions reduce 2   92 SQUARE SquareOptions same 1
93 ZEROS_LIKE ZerosLikeOptions same 1   94 FILL FillOptions filled 2
95 FLOOR_MOD FloorModOptions broadcast 2
97 RESIZE_NEAREST_NEIGHBOR ResizeNearestNeighborOptions resize 2
98 LEAKY_RELU LeakyReluOptions same 1
99 SQUARED_DIFFERENCE SquaredDifferenceOptions broadcast 2
100 MIRROR_PAD MirrorPadOptions mirror_pad 2
101 ABS AbsOptions same 1               102 SPLIT_V SplitVOptions split_v 3
104 CEIL - same 1                       105 REVERSE_V2 ReverseV2Options along_axes 2
106 ADD_N AddNOptions broadcast 1-999   107 GATHER_ND GatherNdOptions gather_nd 2
108 COS CosOptions same 1               111 ELU - same 1
114 QUANTIZE QuantizeOptions same 1     116 ROUND - same 1
117 HARD_SWISH HardSwishOptions same 1  123 SELECT_V2 SelectV2Options broadcast 3
124 DENSIFY DensifyOptions densify 1    126 BATCH_MATMUL BatchMatMulOptions batch_matmul 2
128 CUMSUM CumsumOptions along_axes 2   130 BROADCAST_TO BroadcastToOptions broadcast_to 2
132 CONV_3D Conv3DOptions conv_3d 2-3   140 REDUCE_ALL ReducerOptions reduce 2
150 GELU GeluOptions same 1             152 RELU_0_TO_1 - same 1
156 ATAN2 ATan2Options broadcast 2      158 SIGN SignOptions same 1
"""


def _operators() -> dict[int, Kind]:
    words = _OPERATORS.split()
    found = {}
    for i in range(0, len(words), 5):
        number, name, options, rule, inputs = words[i : i + 5]
        fewest, _, most = inputs.partition("-")
        found[int(number)] = Kind(name, options, rule, (int(fewest), int(most or fewest)))
    return found


#: operators that an engine may have, by their number
OPERATORS = _operators()
#: of tensors: type to numpy's name for it
TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16",
    9: "int8",
}  # fmt: skip
