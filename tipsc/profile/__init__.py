"""How to measure, what a profile is, and predicting what was not measured."""

from tipsc.measure.pinning import pinned, select_cores
from tipsc.profile.design import choose_measured
from tipsc.profile.forecast import Forecast, PredictedPath, Remeasured, Shares
from tipsc.profile.latency import LatencyStatistics, Measurement, NoiseFloor, Samples, rank
from tipsc.profile.predictor import AdditivePart, Prediction, Predictor, fit, predict_latency
from tipsc.profile.profile import BackendUsed, PathProfile, Profile, make_profile, profile_file
from tipsc.profile.protocol import Protocol, collect, measure
from tipsc.profile.system import System, read_system

__all__ = [
    "AdditivePart",
    "BackendUsed",
    "Forecast",
    "LatencyStatistics",
    "Measurement",
    "NoiseFloor",
    "PathProfile",
    "PredictedPath",
    "Prediction",
    "Predictor",
    "Profile",
    "Protocol",
    "Remeasured",
    "Samples",
    "Shares",
    "System",
    "choose_measured",
    "collect",
    "fit",
    "make_profile",
    "measure",
    "pinned",
    "predict_latency",
    "profile_file",
    "rank",
    "read_system",
    "select_cores",
]
