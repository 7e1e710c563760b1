// A dashboard, drawn: its JSON, Prometheus' answers, Grafana's components. window.picture is set by draw.mjs; document.title says when
// everything is there.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import 'uplot/dist/uPlot.min.css';
import { type DataFrame, ThemeContext, type TimeRange, createTheme, dateTime, rangeUtil } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';

import { Heatmap, StateTimeline } from './canvas';
import { Graph, Rows, Stat, prepared } from './panels';
import { type Exemplar, type Source, type Variables, askedBy, exemplarsOf, framesOf, interpolate, variablesOf } from './prometheus';

declare global {
  interface Window {
    picture: { dashboard: any; source: Source; chosen: Record<string, string>; from: string; width: number };
  }
}

// Grafana's grid. The picture's span takes the place of a panel's own: a Prometheus that has run for minutes has nothing of 90 days.
const COLUMNS = 24, CELL = 30, GAP = 8, MARGIN = 16;
const KINDS: Record<string, React.ComponentType<any>> = {
  stat: Stat, timeseries: Graph, table: Rows, 'state-timeline': StateTimeline, heatmap: Heatmap,
};
const theme = createTheme({ colors: { mode: 'light' } });

function last(span: string, end: number): TimeRange {
  const from = dateTime(end - rangeUtil.intervalToMs(span)), to = dateTime(end);
  return { from, to, raw: { from: `now-${span}`, to: 'now' } };
}

interface Drawn {
  panel: any;
  frames: DataFrame[];
  range: TimeRange;
  exemplars: Exemplar[];
}

async function answered(panel: any, range: TimeRange, variables: Variables): Promise<Drawn> {
  if (!KINDS[panel.type]) throw new Error(`a panel of the type ${panel.type} cannot be drawn`);
  const asked = askedBy(panel, window.picture.source, variables, range, (window.picture.width * panel.gridPos.w) / COLUMNS);
  const frames = await framesOf(asked, panel.targets);
  const replace = (text: string) => interpolate(text, asked.variables);
  const exemplars = (await Promise.all(panel.targets.filter((t: any) => t.exemplar).map((t: any) => exemplarsOf(asked, t)))).flat();
  return { panel, frames: await prepared(panel, frames, theme, replace), range, exemplars };
}

function Panel({ drawn, variables }: { drawn: Drawn; variables: Variables }) {
  const { panel } = drawn;
  const Kind = KINDS[panel.type];
  const column = (window.picture.width - 2 * MARGIN + GAP) / COLUMNS;
  const { x, y, w, h } = panel.gridPos;
  const [width, height] = [w * column - GAP, h * (CELL + GAP) - GAP];
  const replace = (text: string) => interpolate(text, variables);
  const span = panel.timeFrom && <PanelChrome.TitleItem title="">here: {describe(window.picture.from)}</PanelChrome.TitleItem>;
  return (
    <div style={{ position: 'absolute', left: MARGIN + x * column, top: y * (CELL + GAP), width, height }}>
      <PanelChrome title={replace(panel.title)} width={width} height={height} titleItems={span} padding={panel.type === 'table' ? 'none' : 'md'}>
        {(width, height) => <Kind {...drawn} replace={replace} width={width} height={height} />}
      </PanelChrome>
    </div>
  );
}

function describe(span: string): string {
  const [, count, unit] = /^(\d+)(\w)$/.exec(span)!;
  return `${count} ${{ m: 'minutes', h: 'hours', d: 'days', y: 'years' }[unit]}`;
}

function Dashboard({ panels, variables }: { panels: Drawn[]; variables: Variables }) {
  const { dashboard, from, width } = window.picture;
  const rows = Math.max(...dashboard.panels.map((panel: any) => panel.gridPos.y + panel.gridPos.h));
  const picked = dashboard.templating.list
    .filter((v: any) => !v.hide)
    .map((v: any) => `${v.label}: ${v.includeAll ? 'All' : variables.get(v.name)}`);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="dashboard" style={{ width, paddingBottom: MARGIN, background: theme.colors.background.canvas }}>
        <div style={{ display: 'flex', justifyContent: 'space-between', padding: `12px ${MARGIN}px 4px` }}>
          <strong style={{ fontSize: 18, fontWeight: 500 }}>{dashboard.title}</strong>
          <span>Last {describe(from)}, UTC</span>
        </div>
        <div style={{ padding: `0 ${MARGIN}px 10px`, color: theme.colors.text.secondary, fontSize: 12 }}>{picked.join('   ·   ')}</div>
        <div style={{ position: 'relative', height: rows * (CELL + GAP) }}>
          {panels.map((drawn) => <Panel key={drawn.panel.id} drawn={drawn} variables={variables} />)}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

async function main() {
  const { dashboard, chosen, from } = window.picture;
  const end = Date.now();
  const range = last(from, end);
  const variables = await variablesOf(dashboard, chosen, end);
  const panels = await Promise.all(dashboard.panels.map((panel: any) => answered(panel, range, variables)));
  await Promise.all(['400 12px Inter', '500 12px Inter'].map((font) => document.fonts.load(font)));
  createRoot(document.getElementById('root')!).render(<Dashboard panels={panels} variables={variables} />);
}

main().catch((error) => {
  document.title = `failed: ${error.stack}`;
});
