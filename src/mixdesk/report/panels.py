"""The figures as Plotly specifications: plain JSON that the page draws. Colours are named by role and set by the page.

A trace's `meta` is its role (trial, band, recipe, rival, line); `desk.js` paints roles from the theme's tokens.
"""

from __future__ import annotations

import html
import json
import math
from typing import Any

import plotly.graph_objects as go

from mixdesk.report import words
from mixdesk.report.figures import RECIPE, Curve, FitPoint, Learned, Paired, Shared
from mixdesk.report.tried import N_BEST, Held, Residual, Tradeoff, Tried, undominated

SYMBOLS = {RECIPE: "diamond", "best seen": "triangle-up-open", "natural": "circle-open", "uniform": "square-open"}
DASHES = {RECIPE: "solid", "best seen": "dashdot", "natural": "dash", "uniform": "dot"}
# Where a mixture's name stands beside its sign: names of mixtures that lie close do not cover one another.
BESIDE = {RECIPE: "bottom left", "best seen": "top left", "natural": "top right"}
# Points up to which each has a bar or a stem. All are SVG: Plotly's WebGL needs `eval`, and the page's policy
# forbids it.
FEW = 1000
# Colours by role where no page sets them: each is told apart on white and on black.
GREY = "#7F8694"
PAINT = {"trial": "#5C7FB8", "recipe": "#D9542B", "rival": "#9A6B2F", "line": GREY, "band": "rgba(127,134,148,0.55)"}


def _spec(figure: go.Figure, label: str) -> dict[str, Any]:
    """The figure as JSON data with a sentence for those who cannot see it."""
    data: dict[str, Any] = json.loads(figure.to_json(engine="json"))
    data["layout"].pop("template", None)
    return {"data": data["data"], "layout": data["layout"], "label": label}


def _layout(x: str, y: str, **more: Any) -> go.Layout:
    return go.Layout(
        xaxis={
            "title": {"text": _plain(x), "standoff": 8, "font": {"size": 12}},
            "zeroline": False,
            **more.pop("xaxis", {}),
        },
        yaxis={
            "title": {"text": _plain(y), "standoff": 6, "font": {"size": 12}},
            "zeroline": False,
            **more.pop("yaxis", {}),
        },
        margin={"l": 62, "r": 14, "t": 10, "b": 46},
        showlegend=False,
        hovermode="closest",
        **more,
    )


def _plain(name: str) -> str:
    """A name as Plotly's text: it knows &lt; and &amp; but prints &quot; as it stands."""
    return html.escape(name, quote=False)


def _six(values: list[float]) -> list[float | None]:
    return [words.rounded(value, 7) for value in values]


def painted(spec: dict[str, Any]) -> go.Figure:
    """A specification as a figure for a notebook, light or dark: painted by role, no background, its label as title."""
    figure = go.Figure(data=spec["data"], layout=spec["layout"])
    for trace in figure.data:
        if trace.meta == "heat":
            trace.colorscale = [[0.0, "rgba(127,134,148,0.1)"], [1.0, PAINT["recipe"]]]
            continue
        colour = PAINT.get(trace.meta, GREY)
        if "line" in trace.to_plotly_json():
            trace.line.color = colour
        if "marker" in trace.to_plotly_json():
            trace.marker.color = colour
    axis = {"gridcolor": "rgba(127,134,148,0.25)", "linecolor": GREY, "zerolinecolor": GREY, "automargin": True}
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "size": 12},
        title={"text": _plain(spec["label"]), "font": {"size": 13}},
        margin={"t": 44},
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def predict(points: tuple[FitPoint, ...], unit: str) -> dict[str, Any]:
    """Measured against predicted without seeing the trial; bars are the law's 90 % interval of one run."""
    means, values = [p.mean for p in points], [p.measured for p in points]
    low, high = min(means + values), max(means + values)
    pad = 0.06 * (high - low) or 0.01
    ends = [low - pad, high + pad]
    bars = [p for p in points if math.isfinite(p.low) and math.isfinite(p.high)] if len(points) <= FEW else []
    line = go.Scatter(x=ends, y=ends, mode="lines", hoverinfo="skip", meta="line", line={"width": 1.2, "dash": "dot"})
    spans = go.Scatter(
        x=_six([v for p in bars for v in (p.low, p.high, math.nan)]),
        y=_six([v for p in bars for v in (p.measured, p.measured, math.nan)]),
        mode="lines",
        hoverinfo="skip",
        meta="band",
        line={"width": 3},
        connectgaps=False,
    )
    hover = "%{customdata}<br>measured %{y:.4f}<br>predicted %{x:.4f}<extra></extra>"
    dots = _dots(_six(means), _six(values), [p.trial for p in points], hover)
    layout = _layout(
        words.listed("predicted out of fold", unit),
        words.listed("measured", unit),
        xaxis={"range": ends},
        yaxis={"range": ends},
    )
    label = f"{words.plural(len(points), 'trial')}, measured against predicted"
    return {**_spec(go.Figure([line, spans, dots], layout), label), **_overlay()}


def learned(found: Learned, unit: str) -> dict[str, Any]:
    """Error over the number of mixtures fitted: measured on parts, now with all, and forecast with its interval."""
    n, errors = [n for n, _ in found.points], [error for _, error in found.points]
    parts = go.Scatter(
        x=n,
        y=_six(errors),
        mode="lines+markers",
        meta="rival",
        line={"width": 1.6},
        marker={"size": 7},
        hovertemplate="fitted on %{x} mixtures: %{y:.4f}<extra></extra>",
    )
    now = {"symbol": "diamond", "size": 11}
    all_ = go.Scatter(
        x=[found.n],
        y=_six([found.now]),
        mode="markers",
        meta="recipe",
        marker=now,
        hovertemplate="all, out of fold: %{y:.4f}<extra></extra>",
    )
    traces, tops, last = [parts, all_], [*errors, found.now], found.n
    if found.then is not None and found.low is not None and found.high is not None:
        last, tops = found.n + found.n_more, [*tops, found.high]
        ring = {"symbol": "circle-open", "size": 9, "line": {"width": 1.6}}
        traces += [
            go.Scatter(
                x=[last] * 2,
                y=_six([found.low, found.high]),
                mode="lines",
                meta="band",
                line={"width": 7},
                hoverinfo="skip",
            ),
            go.Scatter(
                x=[found.n, last],
                y=_six([found.now, found.then]),
                mode="lines",
                meta="line",
                line={"width": 1.2, "dash": "dot"},
                hoverinfo="skip",
            ),
            go.Scatter(
                x=[last],
                y=_six([found.then]),
                mode="markers",
                meta="rival",
                marker=ring,
                hovertemplate=f"with {found.n_more} more: %{{y:.4f}}<extra></extra>",
            ),
        ]
    layout = _layout(
        "mixtures",
        words.listed("error", unit),
        xaxis={"range": [0, 1.06 * last]},
        yaxis={"range": [0.0, 1.1 * max(tops) or 1.0]},
    )
    return _spec(go.Figure(traces, layout), found.sentence)


def learning(curves: tuple[Curve, ...], unit: str) -> dict[str, Any]:
    """Objective over trained tokens. Proxies thin; recipe and rivals at later rungs by line style and sign."""
    ends = [curve.values[-1] for curve in curves]
    low, high = min(ends), max(ends)
    span = (high - low) or 0.05
    window = [low - 0.08 * span, high + 0.9 * span]
    names = [name for name in SYMBOLS if any(curve.name == name for curve in curves)]
    traces = []
    for name in ["", *names]:
        mine = [curve for curve in curves if curve.name == name]
        if not mine:
            continue
        x = [v for curve in mine for v in (*curve.n_tokens, math.nan)]
        y = [v for curve in mine for v in (*curve.values, math.nan)]
        text = [f"{curve.trial}, replicate {curve.replicate}" for curve in mine for _ in (*curve.n_tokens, 0)]
        role = "recipe" if name == RECIPE else "rival" if name else "band"
        width = 2.2 if name == RECIPE else 1.6 if name else 1.0
        line = {"width": width, "dash": DASHES.get(name, "solid")}
        hover = "%{text}<br>%{x:,} tokens: %{y:.4f}<extra>" + (name or "proxy") + "</extra>"
        traces.append(
            go.Scatter(x=_six(x), y=_six(y), text=text, mode="lines", meta=role, line=line, hovertemplate=hover)
        )
        if name:
            marker = {"symbol": SYMBOLS[name], "size": 10, "line": {"width": 1.6}}
            # One sign per mixture, at the mean of its replicates' ends.
            last_x = [max(c.n_tokens[-1] for c in mine)]
            last_y = _six([sum(c.values[-1] for c in mine) / len(mine)])
            sign = {"mode": "markers", "meta": role, "marker": marker, "hoverinfo": "skip"}
            traces.append(go.Scatter(x=last_x, y=last_y, **sign))
    starts = [
        next((n for n, y in zip(curve.n_tokens, curve.values, strict=True) if y <= window[1]), curve.n_tokens[-1])
        for curve in curves
    ]
    stops = [curve.n_tokens[-1] for curve in curves]
    layout = _layout(
        "trained tokens",
        words.listed("objective", unit),
        xaxis={"type": "log", "range": [math.log10(min(starts) * 0.93), math.log10(max(stops) * 1.09)], "dtick": 1},
        yaxis={"range": window},
    )
    layout.xaxis.update(dtick="D1" if max(stops) / min(starts) > 300 else "D2", tickformat="~s")
    return _spec(
        go.Figure(traces, layout),
        f"learning curves of {words.plural(len(curves), 'trial')}; {', '.join(names) or 'proxies only'}",
    )


def confirmation(pairs: tuple[Paired, ...], unit: str) -> dict[str, Any]:
    """Per rival: the law's interval above, the fresh trials' interval and each replicate's difference below."""
    traces = []
    names = [_plain(pair.rival) for pair in pairs]
    for i, pair in enumerate(pairs):
        y = float(len(pairs) - 1 - i)
        if pair.predicted is not None:
            traces += _bar(pair.predicted.low, pair.predicted.high, pair.predicted.difference, y + 0.2, "band")
        traces += _bar(pair.trained.low, pair.trained.high, pair.trained.difference, y - 0.08, "recipe")
        found = [difference for _, difference in pair.differences]
        text = [f"replicate {replicate}" for replicate, _ in pair.differences]
        ring = {"symbol": "circle-open", "size": 7, "line": {"width": 1.4}}
        hover = "%{text}: %{x:+.4f}<extra>" + pair.rival + "</extra>"
        traces.append(
            go.Scatter(
                x=_six(found),
                y=[y - 0.3] * len(found),
                text=text,
                mode="markers",
                meta="rival",
                marker=ring,
                hovertemplate=hover,
            )
        )
    rows = list(range(len(pairs)))
    layout = _layout(
        words.listed("recipe − rival", unit),
        "",
        xaxis={"zeroline": True, "range": _around([c for p in pairs for c in _extent(p)])},
        yaxis={
            "tickvals": rows,
            "ticktext": names[::-1],
            "range": [-0.6, len(pairs) - 0.45],
            "showgrid": False,
            "fixedrange": True,
        },
    )
    layout.margin.l = 78
    told = "; ".join(f"against {p.rival} {words.difference(p.trained.difference)}" for p in pairs)
    return _spec(go.Figure(traces, layout), f"paired differences of fresh trials: {told}")


def overlap(found: Shared) -> dict[str, Any]:
    """Domains against domains and evaluation sets: the share of text in common, a domain with itself left blank."""
    names, columns = [words.middle(one) for one in found.domains], [words.middle(one) for one in found.sets]
    rows = [
        [None if i == j or value is None else 100.0 * value for j, value in enumerate(row)]
        for i, row in enumerate(found.share)
    ]
    told = [
        [
            ""
            if value is None
            else f"{100 * value:.1f}\u202f% of {_plain(a)} in {_plain(b)}"
            if j < len(found.domains)
            else f"{100 * value:.1f}\u202f% of the set {_plain(b)} in {_plain(a)}"
            for j, (b, value) in enumerate(zip((*found.domains, *found.sets), row, strict=True))
        ]
        for a, row in zip(found.domains, found.share, strict=True)
    ]
    top = max([value for row in rows for value in row if value is not None], default=0.0)
    figure = go.Figure(
        go.Heatmap(
            z=rows,
            x=[_plain(one) for one in names] + [f"set: {_plain(one)}" for one in columns],
            y=[_plain(one) for one in names],
            text=told,
            hovertemplate="%{text}<extra></extra>",
            zmin=0.0,
            zmax=max(top, 1.0),
            xgap=1,
            ygap=1,
            meta="heat",
            colorbar={"title": {"text": "%", "side": "top"}, "thickness": 10, "outlinewidth": 0},
        ),
        _layout("", "", xaxis={"side": "top", "tickangle": -45}, yaxis={"autorange": "reversed"}),
    )
    return _spec(figure, f"Heat map of text that {len(found.domains)} domains share; the most is {top:.1f} %")


def _extent(pair: Paired) -> list[float]:
    ends = [pair.trained.low, pair.trained.high, *(difference for _, difference in pair.differences)]
    return ends + ([pair.predicted.low, pair.predicted.high] if pair.predicted is not None else [])


def _around(values: list[float]) -> list[float]:
    low, high = min([0.0, *values]), max([0.0, *values])
    pad = 0.06 * (high - low) or 0.01
    return [low - pad, high + pad]


def _bar(low: float, high: float, mean: float, y: float, role: str) -> list[go.Scatter]:
    width = 7 if role == "band" else 3
    bar = go.Scatter(x=[low, high], y=[y, y], mode="lines", meta=role, line={"width": width}, hoverinfo="skip")
    marker = {"symbol": "diamond" if role == "recipe" else "line-ns", "size": 11, "line": {"width": 2}}
    kind = "trained" if role == "recipe" else "predicted"
    hover = f"{kind} {words.difference(mean)}<br>{words.interval(low, high)}<extra></extra>"
    return [bar, go.Scatter(x=[mean], y=[y], mode="markers", meta=role, marker=marker, hovertemplate=hover)]


def residuals(found: tuple[Residual, ...], unit: str) -> dict[str, Any]:
    """Measured − predicted out of fold, in the order asked, as stems from zero."""
    x, y = [float(one.order) for one in found], [one.rest for one in found]
    ids = [one.trial for one in found]
    traces = []
    if len(found) <= FEW:
        stems = {"mode": "lines", "meta": "band", "hoverinfo": "skip", "line": {"width": 1.5}, "connectgaps": False}
        ends_x, ends_y = [v for a in x for v in (a, a, math.nan)], [v for b in y for v in (0.0, b, math.nan)]
        traces.append(go.Scatter(x=_six(ends_x), y=_six(ends_y), **stems))
    hover = "%{customdata}<br>measured − predicted %{y:+.4f}<extra></extra>"
    traces.append(_dots(_six(x), _six(y), ids, hover))
    layout = _layout("order asked", words.listed("measured − predicted", unit), yaxis={"zeroline": True})
    biggest = max((abs(v) for v in y), default=0.0)
    spec = _spec(
        go.Figure(traces, layout),
        f"{words.plural(len(found), 'trial')}, measured minus predicted, at most {words.value(biggest)} apart",
    )
    return {**spec, **_overlay(), "choice": {"kind": "residuals", "title": "order asked"}}


def held(found: tuple[Held, ...], n: int) -> dict[str, Any]:
    """Share of values inside their interval over the level asked, with the band that chance allows."""
    x = [100.0 * one.level for one in found]
    edge = {"mode": "lines", "meta": "band", "hoverinfo": "skip", "line": {"width": 0}}
    traces = [
        go.Scatter(x=x, y=[100.0 * one.least for one in found], **edge),
        go.Scatter(x=x, y=[100.0 * one.most for one in found], fill="tonexty", **edge),
        go.Scatter(
            x=[0, 100], y=[0, 100], mode="lines", meta="line", hoverinfo="skip", line={"width": 1.2, "dash": "dot"}
        ),
        go.Scatter(
            x=x,
            y=[100.0 * one.inside for one in found],
            mode="lines+markers",
            meta="recipe",
            line={"width": 1.8},
            marker={"size": 6},
            hovertemplate="asked %{x:.0f} %, held %{y:.0f} %<extra></extra>",
        ),
    ]
    ends = {"range": [0, 101], "ticksuffix": "\u202f%"}
    layout = _layout("interval asked for", "values inside", xaxis=ends, yaxis=ends)
    layout.margin.r = 28
    at = min(found, key=lambda one: abs(one.level - 0.9))
    return _spec(
        go.Figure(traces, layout),
        f"{n} intervals: at {100 * at.level:.0f} % asked, {100 * at.inside:.0f} % held",
    )


def parallel(found: tuple[Tried, ...], labels: tuple[str, ...], unit: str) -> dict[str, Any]:
    """One line per trial over the domains' weights, on square-root axes, and the objective at the end, best on top."""
    values = [one.value for one in found]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    last = len(labels)

    def line(rows: tuple[Tried, ...], role: str, width: float, opacity: float) -> Any:
        x = [v for _ in rows for v in (*range(last + 1), math.nan)]
        y = [v for one in rows for v in (*map(math.sqrt, one.shares), 1.0 - (one.value - low) / span, math.nan)]
        ids = [v for one in rows for v in (*[one.trial] * (last + 1), None)]
        return go.Scatter(
            x=_six(x), y=_six(y), customdata=ids, mode="lines", meta=role, opacity=opacity,
            line={"width": width}, connectgaps=False, hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip

    traces = [line(found[N_BEST:], "faint", 1.0, 0.45), line(found[:N_BEST], "recipe", 1.8, 0.95)]
    layout = _layout("", "")
    layout.xaxis.update(
        tickvals=list(range(last + 1)),
        ticktext=[_plain(words.middle(one, 14)) for one in labels] + ["<b>objective</b>"],
        showgrid=False, range=[-0.25, last + 0.25], side="top", fixedrange=True,
    )  # fmt: skip
    shares = [0, 1, 5, 10, 20, 40, 70, 100]
    layout.yaxis.update(
        tickvals=[math.sqrt(s / 100) for s in shares],
        ticktext=[f"{s}\u202f%" for s in shares],
        showgrid=False,
        range=[-0.04, 1.04],
        fixedrange=True,
    )
    layout.update(
        shapes=[{"type": "line", "x0": k, "x1": k, "y0": 0, "y1": 1, "line": {"width": 1.4}, "name": "band"}
                for k in range(last + 1)],
        annotations=[{"x": last, "y": y, "text": words.value(v), "showarrow": False, "xanchor": "left", "xshift": 6}
                     for y, v in ((0.0, high), (1.0, low))],
        margin={"l": 46, "r": 56, "t": 34, "b": 12},
    )  # fmt: skip
    label = (
        f"{words.plural(len(found), 'trial')} over {last} weights; objective {words.value(low)} to {words.value(high)}"
    )
    return {**_spec(go.Figure(traces, layout), label), **_overlay(), "brush": {"low": low, "high": high}}


def ternary(found: tuple[Tried, ...], labels: tuple[str, str, str], unit: str) -> dict[str, Any]:
    """Three domains: every trial in the triangle of their weights, the best dark."""

    def dots(rows: tuple[Tried, ...], role: str, symbol: str, opacity: float) -> go.Scatterternary:
        a, b, c = ([100.0 * one.shares[k] for one in rows] for k in range(3))
        return go.Scatterternary(
            a=_six(a), b=_six(b), c=_six(c), customdata=[one.trial for one in rows],
            text=[words.value(one.value) for one in rows], mode="markers", meta=role,
            marker={"size": 8, "symbol": symbol, "opacity": opacity},
            hovertemplate="%{customdata}<br>objective %{text}<extra></extra>",
        )  # fmt: skip

    names = [_plain(words.middle(one, 18)) for one in labels]
    axes = {
        axis: {"title": {"text": name}, "ticksuffix": "\u202f%"}
        for axis, name in zip(("aaxis", "baxis", "caxis"), names, strict=True)
    }
    layout = go.Layout(
        ternary={"sum": 100, **axes}, showlegend=False, margin={"l": 40, "r": 40, "t": 34, "b": 34}, hovermode="closest"
    )
    traces = [dots(found[N_BEST:], "trial", "circle-open", 0.6), dots(found[:N_BEST], "recipe", "circle", 1.0)]
    label = (
        f"{words.plural(len(found), 'trial')} in the triangle of {', '.join(labels)}, objective in {unit or 'its unit'}"
    )
    return {**_spec(go.Figure(traces, layout), label), **_overlay("scatterternary")}


def tradeoff(found: Tradeoff) -> dict[str, Any]:
    """Two metrics against each other: trials, and the steps through those that no other beats in both."""
    rows = [(trial, row) for trial, row in zip(found.trials, found.values, strict=True)]
    one, two = found.at
    known = [(trial, row[one], row[two]) for trial, row in rows if row[one] is not None and row[two] is not None]
    x, y = [float(a) for _, a, _ in known if a is not None], [float(b) for _, _, b in known if b is not None]
    xs, ys = undominated(x, y, (found.signs[one], found.signs[two]))
    titles = [words.listed(words.middle(m, 32), u) for m, u in zip(found.metrics, found.units, strict=True)]
    hover = "%{customdata}<br>%{x:.4f}, %{y:.4f}<extra></extra>"
    traces = [
        _dots(_six(x), _six(y), [trial for trial, _, _ in known], hover),
        go.Scatter(x=_six(xs), y=_six(ys), mode="lines", meta="line", hoverinfo="skip", line={"width": 1.4}),
    ]
    for name in found.named:
        marker = {"symbol": SYMBOLS.get(name, "square-open"), "size": 11, "line": {"width": 1.8}}
        role = "recipe" if name == RECIPE else "rival"
        traces.append(go.Scatter(
            x=[], y=[], name=name, text=[_plain(name)], mode="markers+text",
            textposition=BESIDE.get(name, "bottom right"),
            textfont={"size": 11, "weight": 600, "shadow": "auto"}, meta=role, cliponaxis=False, marker=marker,
            hovertemplate="%{x:.4f}, %{y:.4f}<extra></extra>",
        ))  # fmt: skip
    label = f"{words.plural(len(x), 'trial')}, {found.metrics[one]} against {found.metrics[two]}"
    choice = {"kind": "metrics", "at": list(found.at), "titles": titles, "signs": list(found.signs)}
    spec = _spec(go.Figure(traces, _layout(titles[one], titles[two])), label)
    return {**spec, **_overlay(), "choice": choice}


def _dots(x: list[float | None], y: list[float | None], trials: list[str], hover: str) -> Any:
    """A dot per trial that the page lights up when the trial is pointed at."""
    marker = {"size": 8, "opacity": 0.72} if len(x) <= FEW else {"size": 4, "opacity": 0.22}
    return go.Scatter(x=x, y=y, customdata=trials, mode="markers", meta="trial", marker=marker, hovertemplate=hover)


def _overlay(kind: str = "scatter") -> dict[str, Any]:
    """What marks the trial pointed at: a layer of the page over the axes, a trace of its own in a triangle."""
    places: dict[str, list[float]] = {"a": [], "b": [], "c": []} if kind == "scatterternary" else {}
    return {"overlay": {"type": kind, **places}}
