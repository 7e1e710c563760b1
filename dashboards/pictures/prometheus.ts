// Asks Prometheus as Grafana's data source for it does: variables, intervals, legends; answers as Grafana's data frames.
import { type DataFrame, FieldType, TimeRange, rangeUtil, toDataFrame } from '@grafana/data';

export interface Target {
  refId: string;
  expr: string;
  format?: string;
  instant?: boolean;
  exemplar?: boolean;
  legendFormat?: string;
}
type Labels = Record<string, string>;
type Sample = [number, string];
interface Series {
  metric: Labels;
  value?: Sample;
  values?: Sample[];
}

// Prometheus, as the page sees it: how often it scrapes.
export interface Source {
  scrapeMs: number;
}

async function ask(path: string, parameters: Record<string, string>) {
  const answer = await (await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== 'success') throw new Error(`${path} ${JSON.stringify(parameters)}: ${answer.error}`);
  return answer.data;
}

export type Variables = Map<string, string>;

// $name, ${name} and ${name:format}; what is no variable stays, as in a link that a click fills in.
export function interpolate(text: string, variables: Variables): string {
  return text.replace(/\$(?:(\w+)|\{(\w+)(?::\w+)?\})/g, (all, plain, braced) => variables.get(plain ?? braced) ?? all);
}

function sampleText(series: Series): string {
  const labels = Object.entries(series.metric).filter(([name]) => name !== '__name__');
  return `${series.metric.__name__ ?? ''}{${labels.map(([name, value]) => `${name}="${value}"`).join(',')}} ${series.value?.join(' ')}`;
}

async function optionsOf(query: string, end: number): Promise<string[]> {
  const values = /^label_values\((.*), (\w+)\)$/s.exec(query);
  if (values) return ask(`label/${values[2]}/values`, { 'match[]': values[1], end: String(end / 1000) });
  const result = /^query_result\((.*)\)$/s.exec(query);
  if (!result) throw new Error(`a variable's query is not understood: ${query}`);
  const found = await ask('query', { query: result[1], time: String(end / 1000) });
  return found.result.map(sampleText);
}

// The value of each variable: "all" where the dashboard says so, else what is chosen, else the first.
export async function variablesOf(dashboard: any, chosen: Record<string, string>, end: number): Promise<Variables> {
  const variables: Variables = new Map([['datasource', 'Prometheus']]);
  for (const variable of dashboard.templating.list) {
    if (variable.type === 'datasource') continue;
    const options = await optionsOf(interpolate(variable.query.query, variables), end);
    if (variable.includeAll) {
      variables.set(variable.name, variable.allValue ?? (options.length === 1 ? options[0] : `(${options.join('|')})`));
      continue;
    }
    const pattern = variable.regex ? new RegExp(variable.regex.slice(1, variable.regex.lastIndexOf('/'))) : undefined;
    const matched = options.map((option) => (pattern ? pattern.exec(option)?.[1] : option)).filter((option) => option !== undefined);
    variables.set(variable.name, chosen[variable.name] ?? matched[0] ?? '');
  }
  return variables;
}

const seconds = (ms: number) => `${Math.round(ms / 1000)}s`;

interface Asked {
  variables: Variables;
  range: TimeRange;
  stepMs: number;
}

// A panel of this width has a point for each pixel, but none closer than what is scraped, or than its own interval. One with its own
// span has as many points here as there.
export function askedBy(panel: any, source: Source, variables: Variables, range: TimeRange, width: number): Asked {
  const spanMs = range.to.valueOf() - range.from.valueOf();
  const shrunk = panel.timeFrom ? spanMs / rangeUtil.intervalToMs(panel.timeFrom) : 1;
  const lowest = panel.interval ? Math.max(rangeUtil.intervalToMs(panel.interval) * shrunk, source.scrapeMs) : source.scrapeMs;
  const { intervalMs } = rangeUtil.calculateInterval(range, Math.round(width), seconds(lowest));
  const own: Variables = new Map(variables);
  own.set('__interval', seconds(intervalMs));
  own.set('__rate_interval', seconds(Math.max(intervalMs + source.scrapeMs, 4 * source.scrapeMs)));
  own.set('__range', seconds(spanMs));
  return { variables: own, range, stepMs: intervalMs };
}

function legend(format: string | undefined, metric: Labels): string | undefined {
  return format ? format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => metric[name] ?? '') : undefined;
}

function seriesFrame(target: Target, series: Series, stepMs: number): DataFrame {
  const samples = series.values ?? (series.value ? [series.value] : []);
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, config: { interval: stepMs }, values: samples.map(([time]) => time * 1000) },
      {
        name: 'Value',
        type: FieldType.number,
        labels: series.metric,
        config: { displayNameFromDS: legend(target.legendFormat, series.metric) },
        values: samples.map(([, value]) => Number(value)),
      },
    ],
  });
}

// A row for each series, a column for each label.
function tableFrame(target: Target, found: Series[], valueName: string): DataFrame {
  const names = [...new Set(found.flatMap((series) => Object.keys(series.metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map((series) => series.value![0] * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: found.map((series) => series.metric[name] ?? '') })),
      { name: valueName, type: FieldType.number, values: found.map((series) => Number(series.value![1])) },
    ],
  });
}

export async function framesOf(asked: Asked, targets: Target[]): Promise<DataFrame[]> {
  const answers = await Promise.all(
    targets.map(async (target) => {
      const query = interpolate(target.expr, asked.variables);
      const end = asked.range.to.valueOf();
      if (target.instant) return ask('query', { query, time: String(end / 1000) });
      // Grafana puts the points on multiples of the step.
      const onStep = (ms: number) => String((Math.floor(ms / asked.stepMs) * asked.stepMs) / 1000);
      const span = { start: onStep(asked.range.from.valueOf()), end: onStep(end), step: String(asked.stepMs / 1000) };
      return ask('query_range', { query, ...span });
    })
  );
  return answers.flatMap((answer, i) => {
    const found: Series[] = answer.result;
    if (targets[i].format !== 'table') return found.map((series) => seriesFrame(targets[i], series, asked.stepMs));
    return found.length ? [tableFrame(targets[i], found, targets.length > 1 ? `Value #${targets[i].refId}` : 'Value')] : [];
  });
}

export interface Exemplar {
  time: number;
  value: number;
}

export async function exemplarsOf(asked: Asked, target: Target): Promise<Exemplar[]> {
  const query = interpolate(target.expr, asked.variables);
  const [start, end] = [asked.range.from.valueOf() / 1000, asked.range.to.valueOf() / 1000];
  const found = await ask('query_exemplars', { query, start: String(start), end: String(end) });
  return found.flatMap((series: any) => series.exemplars.map((one: any) => ({ time: one.timestamp * 1000, value: Number(one.value) })));
}
