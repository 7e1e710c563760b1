// The panels of @grafana/ui: one number, a graph over time, a table.
import {
  type DataFrame, FieldConfigProperty, Registry, type TimeRange, applyFieldOverrides, getFieldDisplayValues, identityOverrideProcessor,
  locationUtil, standardTransformers, standardTransformersRegistry, transformDataFrame,
} from '@grafana/data';
import { BigValue, Table, TimeSeries, VizRepeater, useTheme2 } from '@grafana/ui';
import React from 'react';
import { firstValueFrom } from 'rxjs';

export interface Shown {
  panel: any;
  frames: DataFrame[];
  range: TimeRange;
  replace: (text: string) => string;
  width: number;
  height: number;
}

// One of them has two names.
const transformers = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));
standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((transformation) => ({ id: transformation.id, name: transformation.name, transformation, editor: () => null }))
);
locationUtil.initialize({ config: { appSubUrl: '' } as any, getVariablesUrlParams: () => ({}), getTimeRangeForUrl: () => ({}) as any });

// Grafana's server knows each option of a panel with its editor. To draw it, that there is such an option is enough.
const property = (path: string, isCustom: boolean) => ({
  id: isCustom ? `custom.${path}` : path,
  path,
  isCustom,
  name: path,
  process: identityOverrideProcessor,
  override: () => null,
  editor: () => null,
  shouldApply: () => true,
});
const COMMON = Object.values(FieldConfigProperty).map((path) => property(path, false));
const CUSTOM = [
  'drawStyle', 'lineInterpolation', 'lineWidth', 'lineStyle', 'fillOpacity', 'fillBelowTo', 'gradientMode', 'barAlignment', 'showPoints',
  'pointSize', 'spanNulls', 'stacking', 'axisPlacement', 'axisLabel', 'axisSoftMin', 'axisSoftMax', 'axisBorderShow', 'axisColorMode',
  'scaleDistribution', 'thresholdsStyle', 'hideFrom', 'align', 'cellOptions', 'inspect', 'hidden', 'width', 'minWidth', 'filterable',
].map((path) => property(path, true));
const fieldConfigRegistry = new Registry(() => [...COMMON, ...CUSTOM] as any);

// What the dashboard leaves out, a panel of Grafana has by default.
const GRAPH_DEFAULTS = {
  pointSize: 5, gradientMode: 'none', barAlignment: 0, axisColorMode: 'text', axisBorderShow: false, scaleDistribution: { type: 'linear' },
  hideFrom: { legend: false, tooltip: false, viz: false }, thresholdsStyle: { mode: 'off' },
};

export async function prepared(panel: any, frames: DataFrame[], theme: any, replace: (text: string) => string): Promise<DataFrame[]> {
  const transformed = await firstValueFrom(transformDataFrame(panel.transformations ?? [], frames, { interpolate: replace }));
  const fieldConfig = structuredClone(panel.fieldConfig);
  if (panel.type === 'timeseries') fieldConfig.defaults.custom = { ...GRAPH_DEFAULTS, ...fieldConfig.defaults.custom };
  return applyFieldOverrides({ data: transformed, fieldConfig, fieldConfigRegistry, replaceVariables: replace, theme, timeZone: 'utc' } as any);
}

export function Nothing({ text }: { text: string }) {
  const style = { display: 'flex', height: '100%', alignItems: 'center', justifyContent: 'center', textAlign: 'center' } as const;
  return <div style={{ ...style, color: useTheme2().colors.text.secondary }}>{text}</div>;
}

export function Stat({ panel, frames, replace, width, height }: Shown) {
  const theme = useTheme2();
  const options = panel.options;
  const values = () =>
    getFieldDisplayValues({
      fieldConfig: panel.fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: replace, theme, data: frames, timeZone: 'utc',
    } as any);
  return (
    <VizRepeater
      getValues={values}
      source={frames}
      renderCounter={0}
      width={width}
      height={height}
      orientation={options.orientation}
      autoGrid={true}
      itemSpacing={3}
      renderValue={({ value, width, height, count }: any) => (
        <BigValue
          value={value.display}
          count={count}
          width={width}
          height={height}
          theme={theme}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          text={options.text}
        />
      )}
    />
  );
}

export function Graph({ panel, frames, range, width, height }: Shown) {
  if (!frames.length) return <Nothing text={panel.fieldConfig.defaults.noValue ?? 'No data'} />;
  return (
    <TimeSeries frames={frames} timeRange={range} timeZone="utc" width={width} height={height} legend={panel.options.legend} options={panel.options} />
  );
}

export function Rows({ panel, frames, range, width, height }: Shown) {
  if (!frames.some((frame) => frame.length)) return <Nothing text={panel.fieldConfig.defaults.noValue ?? 'No data'} />;
  return (
    <Table data={frames[0]} width={width} height={height} initialSortBy={panel.options.sortBy} cellHeight={panel.options.cellHeight} timeRange={range} />
  );
}
