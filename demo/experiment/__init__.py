"""The paper's first experiment: 100 products, backgrounds under controlled prompt variations, and its report."""

from demo.experiment.config import CATALOGUE, ExperimentConfig, chosen
from demo.experiment.rates import Rate, factors_of, rates_by, reasons_of
from demo.experiment.report import report_page
from demo.experiment.run import Result, run_experiment
from demo.experiment.variation import Variation, look_at

__all__ = [
    "CATALOGUE",
    "ExperimentConfig",
    "Rate",
    "Result",
    "Variation",
    "chosen",
    "factors_of",
    "look_at",
    "rates_by",
    "reasons_of",
    "report_page",
    "run_experiment",
]
