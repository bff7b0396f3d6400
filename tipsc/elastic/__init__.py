"""What is elastic: layers, families of supernets, and a path as a plain module."""

from tipsc.elastic.batch_norm import (
    ElasticBatchNorm1d,
    ElasticBatchNorm2d,
    ElasticBatchNorm3d,
    add_by_channel,
    anchor_norm,
    corrections,
    freeze_scales,
    give_ratios,
    has_batch_norm,
    is_anchored,
    norms_with_ratio,
)
from tipsc.elastic.cost import Cost, CostModel, StepCost
from tipsc.elastic.dims import Dim, Units
from tipsc.elastic.extract import extract
from tipsc.elastic.factors import TOTALS, additive_parts, additive_totals
from tipsc.elastic.families import FAMILIES, family
from tipsc.elastic.frozen_norm import Correction, deviation_ratio, scaled_variance
from tipsc.elastic.layers import (
    ElasticConv1d,
    ElasticConv2d,
    ElasticDepthwiseConv1d,
    ElasticDepthwiseConv2d,
    ElasticLayer,
    ElasticLayerNorm,
    ElasticLinear,
)
from tipsc.elastic.ratios import settle_ratios
from tipsc.elastic.statistics import Statistics
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, TracedStep, skeleton, trace

__all__ = [
    "Correction",
    "Cost",
    "CostModel",
    "Dim",
    "ElasticBatchNorm1d",
    "ElasticBatchNorm2d",
    "ElasticBatchNorm3d",
    "ElasticConv1d",
    "ElasticConv2d",
    "ElasticDepthwiseConv1d",
    "ElasticDepthwiseConv2d",
    "ElasticLayer",
    "ElasticLayerNorm",
    "ElasticLinear",
    "FAMILIES",
    "Statistics",
    "TracedStep",
    "StepCost",
    "Supernet",
    "TOTALS",
    "Trace",
    "Units",
    "add_by_channel",
    "additive_parts",
    "additive_totals",
    "anchor_norm",
    "corrections",
    "deviation_ratio",
    "extract",
    "family",
    "freeze_scales",
    "give_ratios",
    "has_batch_norm",
    "is_anchored",
    "norms_with_ratio",
    "scaled_variance",
    "settle_ratios",
    "skeleton",
    "trace",
]
