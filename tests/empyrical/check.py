"""Computes the figures of each series anew, with empyrical and scipy, and compares them with the ones in the file."""

import json
import math
import sys

import empyrical
import numpy
import pandas
import scipy.stats

YEAR_S = 365 * 86_400

checked = 0
wrong = []


def compare(case, name, ours, theirs):
    """Both are undefined, or they are equal but for rounding."""
    global checked
    checked += 1
    if theirs is not None and not math.isfinite(theirs):
        theirs = None
    if ours is None or theirs is None:
        if ours is not theirs:
            wrong.append(f"series {case}: {name} is {ours}, the reference has {theirs}")
    elif not math.isclose(ours, theirs, rel_tol=1e-8, abs_tol=1e-12):
        wrong.append(f"series {case}: {name} is {ours!r}, the reference has {theirs!r}")


with open(sys.argv[1]) as file:
    cases = json.load(file)

for idx, case in enumerate(cases):
    returns = pandas.Series(case["equity"]).pct_change().dropna().reset_index(drop=True)
    factor = pandas.Series(case["reference"]).pct_change().dropna().reset_index(drop=True)
    periods = YEAR_S / case["interval_s"]
    ours = case["ours"]
    compare(idx, "sharpe", ours["sharpe"], empyrical.sharpe_ratio(returns, annualization=periods))
    compare(idx, "sortino", ours["sortino"], empyrical.sortino_ratio(returns, annualization=periods))
    compare(idx, "volatility", ours["volatility"], empyrical.annual_volatility(returns, annualization=periods))
    compare(idx, "max drawdown", -ours["drawdown"], empyrical.max_drawdown(returns))
    compare(idx, "annual return", ours["annual_return"], empyrical.annual_return(returns, annualization=periods))
    compare(idx, "calmar", ours["calmar"], empyrical.calmar_ratio(returns, annualization=periods))
    compare(idx, "beta", ours["beta"], empyrical.beta(returns, factor))
    line = scipy.stats.linregress(factor, returns)
    compare(idx, "alpha", ours["alpha"], line.intercept * periods)
    compare(idx, "r squared", ours["r_squared"], numpy.float64(line.rvalue) ** 2)

for line in wrong[:20]:
    print(line)
print(f"{checked} figures of {len(cases)} series, {len(wrong)} wrong")
sys.exit(1 if wrong else 0)
