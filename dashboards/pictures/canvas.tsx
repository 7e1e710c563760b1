// The state timeline and the heatmap. Their panels are part of Grafana's server, not of @grafana/ui: these are drawn with its graphs'
// axes, scales, colours and legend.
import { type DataFrame, FieldType, type TimeRange, formattedValueToString, getFieldDisplayName, getValueFormat } from '@grafana/data';
import { AxisPlacement, LegendDisplayMode, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { UPlotChart, UPlotConfigBuilder, VizLayout, VizLegend, measureText, useTheme2 } from '@grafana/ui';
import { interpolateOranges } from 'd3-scale-chromatic';
import React, { useMemo } from 'react';
import type uPlot from 'uplot';

import { Nothing, type Shown } from './panels';
import type { Exemplar } from './prometheus';

const FONT_SIZE = 12;

// Time along x; y counts rows from the top, and `marks` says what stands at which height.
function plot(range: TimeRange, rows: number, marks: Array<[number, string]>, theme: any, draw: (chart: uPlot) => void) {
  const builder = new UPlotConfigBuilder('utc');
  const time: [number, number] = [range.from.valueOf(), range.to.valueOf()];
  builder.addScale({
    scaleKey: 'x', isTime: true, orientation: ScaleOrientation.Horizontal, direction: ScaleDirection.Right, range: () => time,
  });
  builder.addScale({
    scaleKey: 'y', isTime: false, orientation: ScaleOrientation.Vertical, direction: ScaleDirection.Down, range: () => [0, rows],
  });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: 'utc', theme, grid: { show: false } });
  builder.addAxis({
    scaleKey: 'y',
    placement: AxisPlacement.Left,
    theme,
    size: Math.max(...marks.map(([, text]) => measureText(text, FONT_SIZE).width), 0) + 16,
    splits: () => marks.map(([at]) => at),
    values: () => marks.map(([, text]) => text),
    grid: { show: false },
    ticks: { show: false },
  } as any);
  builder.addSeries({ scaleKey: 'y', theme, pathBuilder: () => null, show: true } as any);
  builder.addHook('draw', draw);
  // Half of the last time's text.
  builder.setPadding([8, 28, null as any, null as any]);
  return { builder, data: [time, [0, rows]] as any };
}

interface Run {
  from: number;
  to: number;
  value: number;
}

// One value for as long as it stays; a missing point ends it.
function runsOf(frame: DataFrame, until: number): Run[] {
  const times = frame.fields.find((field) => field.type === FieldType.time)!;
  const values = frame.fields.find((field) => field.type === FieldType.number)!.values;
  const step = times.config.interval!;
  const runs: Run[] = [];
  times.values.forEach((time: number, i: number) => {
    const last = runs[runs.length - 1];
    const to = Math.min(time + step, until);
    if (last && last.value === values[i] && time <= last.to + step / 2) last.to = to;
    else runs.push({ from: time, to, value: values[i] });
  });
  return runs;
}

export function StateTimeline({ panel, frames, range, width, height }: Shown) {
  const theme = useTheme2();
  if (!frames.length) return <Nothing text={panel.fieldConfig.defaults.noValue ?? 'No data'} />;
  const fields = frames.map((frame) => frame.fields.find((field) => field.type === FieldType.number)!);
  const names = frames.map((frame, i) => getFieldDisplayName(fields[i], frame, frames));
  const runs = frames.map((frame) => runsOf(frame, range.to.valueOf()));
  const seen = new Map<string, { at: number; color: string }>();
  runs.forEach((row, i) => row.forEach(({ value }) => {
    const shown = fields[i].display!(value);
    seen.set(formattedValueToString(shown), { at: value, color: shown.color! });
  }));
  const items = [...seen].sort(([, a], [, b]) => a.at - b.at).map(([label, { color }]) => ({ label, color, yAxis: 1 }));

  const draw = (chart: uPlot) => {
    const { ctx } = chart;
    const ratio = window.devicePixelRatio;
    ctx.save();
    ctx.font = `${FONT_SIZE * ratio}px ${theme.typography.fontFamily}`;
    ctx.textBaseline = 'middle';
    ctx.textAlign = 'left';
    runs.forEach((row, i) => {
      const middle = chart.valToPos(i + 0.5, 'y', true);
      const thick = Math.abs(chart.valToPos(1, 'y', true) - chart.valToPos(0, 'y', true)) * panel.options.rowHeight;
      for (const run of row) {
        const [left, right] = [run.from, run.to].map((time) => Math.max(chart.valToPos(time, 'x', true), chart.bbox.left));
        const shown = fields[i].display!(run.value);
        ctx.globalAlpha = panel.fieldConfig.defaults.custom.fillOpacity / 100;
        ctx.fillStyle = shown.color!;
        ctx.fillRect(left, middle - thick / 2, right - left, thick);
        ctx.globalAlpha = 1;
        const text = formattedValueToString(shown);
        if (thick < FONT_SIZE * ratio || ctx.measureText(text).width + 8 * ratio > right - left) continue;
        ctx.fillStyle = theme.colors.getContrastText(shown.color!, 3);
        ctx.fillText(text, left + 4 * ratio, middle);
      }
    });
    ctx.restore();
  };
  const marks = names.map((name, i) => [i + 0.5, name] as [number, string]);
  const legend = (
    <VizLayout.Legend placement="bottom">
      <VizLegend placement="bottom" displayMode={LegendDisplayMode.List} items={items} />
    </VizLayout.Legend>
  );
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(width: number, height: number) => <Chart {...{ width, height, range, marks, draw }} rows={frames.length} />}
    </VizLayout>
  );
}

interface ChartProps {
  range: TimeRange;
  rows: number;
  marks: Array<[number, string]>;
  draw: (chart: uPlot) => void;
  width: number;
  height: number;
}

function Chart({ range, rows, marks, draw, width, height }: ChartProps) {
  const theme = useTheme2();
  const { builder, data } = useMemo(() => plot(range, rows, marks, theme, draw), []);
  return <UPlotChart config={builder} data={data} width={width} height={height} />;
}

// The buckets of a histogram, lowest first, each without what the one below counts too.
function bucketsOf(frames: DataFrame[]) {
  const bounds = frames.map((frame) => Number(frame.fields[1].labels!.le.replace('+Inf', 'Infinity')));
  const order = bounds.map((_, i) => i).sort((a, b) => bounds[a] - bounds[b]);
  const at = (i: number) => new Map(frames[i].fields[0].values.map((time: number, k: number) => [time, frames[i].fields[1].values[k]]));
  let below = new Map<number, number>();
  return order.map((i) => {
    const counts = at(i);
    const own = [...counts].map(([time, count]) => ({ time, count: count - (below.get(time) ?? 0) }));
    below = counts;
    return { bound: bounds[i], cells: own };
  });
}

export function Heatmap({ panel, frames, range, width, height, exemplars }: Shown & { exemplars: Exemplar[] }) {
  const theme = useTheme2();
  if (!frames.length) return <Nothing text="No data" />;
  const buckets = bucketsOf(frames);
  const step = frames[0].fields[0].config.interval!;
  const most = Math.max(...buckets.flatMap(({ cells }) => cells.map(({ count }) => count)));
  const shade = (count: number) => interpolateOranges((count / most) ** panel.options.color.exponent);
  const unit = getValueFormat(panel.options.yAxis.unit);
  const name = (bound: number) => (Number.isFinite(bound) ? formattedValueToString(unit(bound)) : '+Inf');
  const rows = buckets.length;
  // Between the bounds of its bucket, a value stands where it belongs.
  const heightOf = (value: number) => {
    const i = buckets.findIndex(({ bound }) => value <= bound);
    const [low, high] = [i ? buckets[i - 1].bound : 0, buckets[i].bound];
    return rows - i - (Number.isFinite(high) ? (value - low) / (high - low) : 0.5);
  };
  const draw = (chart: uPlot) => {
    const { ctx } = chart;
    const gap = panel.options.cellGap * window.devicePixelRatio;
    const x = (time: number) => chart.valToPos(time, 'x', true);
    const y = (row: number) => chart.valToPos(row, 'y', true);
    ctx.save();
    buckets.forEach(({ cells }, i) => {
      for (const { time, count } of cells) {
        if (count <= panel.options.filterValues.le) continue;
        const [left, right] = [Math.max(x(time - step), chart.bbox.left), x(time)];
        ctx.fillStyle = shade(count);
        ctx.fillRect(left, y(rows - i - 1) + gap, right - left - gap, y(rows - i) - y(rows - i - 1) - gap);
      }
    });
    ctx.fillStyle = panel.options.exemplars.color;
    for (const { time, value } of exemplars) {
      ctx.beginPath();
      ctx.arc(x(time), y(heightOf(value)), 3 * window.devicePixelRatio, 0, 2 * Math.PI);
      ctx.fill();
    }
    ctx.restore();
  };
  const marks = buckets.map(({ bound }, i) => [rows - i - 1, name(bound)] as [number, string]);
  const scale = Array.from({ length: 11 }, (_, i) => shade((most * i) / 10)).join(', ');
  const strip = { width: 160, height: 10, background: `linear-gradient(to right, ${scale})` };
  return (
    <div>
      <Chart {...{ range, rows, marks, draw, width }} height={height - 24} />
      <div style={{ display: 'flex', gap: 8, alignItems: 'center', fontSize: FONT_SIZE, color: theme.colors.text.primary }}>
        <span>0</span><div style={strip} /><span>{formattedValueToString(getValueFormat('reqps')(most))}</span>
      </div>
    </div>
  );
}
