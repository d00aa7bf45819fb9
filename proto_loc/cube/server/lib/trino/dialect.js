'use strict';
/**
 * Cube's SQL dialect of Trino, with corrections by which it gives the answers of lib/duckdb/dialect.js.
 *
 * Times: published columns have the types TIMESTAMP(6) (in UTC) or DATE. Cube compares them with a TIMESTAMP(3) WITH TIME
 * ZONE, which loses a day's last microseconds, and casts every row. Here they are compared with a TIMESTAMP(6).
 *
 * Filters: Trino casts no parameter by itself, and Cube casts each number to DOUBLE, which cannot tell integers above 2^53
 * apart.
 */
const { BaseFilter } = require('@cubejs-backend/schema-compiler');
const { TrinoQuery } = require('@cubejs-backend/schema-compiler/dist/src/adapter/TrinoQuery.js');
const { parseSqlInterval } = require('@cubejs-backend/shared');
const { NUMBERS, numberType, published } = require('../published');

const UNITS = { week: ['day', 7], quarter: ['month', 3] }; // that no INTERVAL of Trino has

class PublishedFilter extends BaseFilter {
  allocateCastParam(value) {
    const param = this.allocateParam(value);
    const { type } = this.definition();
    if (type === 'boolean') return `CAST(${param} AS BOOLEAN)`;
    return NUMBERS.includes(type) ? `CAST(${param} AS ${numberType(String(value), 'DECIMAL(38, 0)')})` : param;
  }

  likeIgnoreCase(column, not, param, type) {
    const before = type === 'starts' ? '' : '%';
    const after = type === 'ends' ? '' : '%';
    const pattern = `CONCAT('${before}', LOWER(${this.allocateParam(param)}), '${after}')`;
    return `LOWER(${column})${not ? ' NOT' : ''} LIKE ${pattern} ESCAPE '\\'`;
  }
}

/** The parts of an interval as units of Trino, with how many of them. */
const parts = (interval) => Object.entries(parseSqlInterval(interval)).map(([name, count]) => {
  const [unit, factor] = UNITS[name] || [name, 1];
  return [unit, count * factor];
});

class PublishedQuery extends published(TrinoQuery) {
  newFilter(filter) {
    return new PublishedFilter(this, filter);
  }

  /** A text in ISO 8601 as a timestamp without a zone, like the columns. */
  timeStampParam() {
    return this.timeStampCast('?');
  }

  timeStampCast(value) {
    return `CAST(from_iso8601_timestamp_nanos(${value}) AS TIMESTAMP(6))`;
  }

  dateTimeCast(value) {
    return this.timeStampCast(value);
  }

  convertTz(field) {
    return `CAST(${field} AS TIMESTAMP(6))`;
  }

  seriesSql(timeDimension) {
    const rows = timeDimension.timeSeries().map(([from, to]) => `('${from}', '${to}')`);
    return `SELECT ${this.timeStampCast('f')} AS date_from, ${this.timeStampCast('t')} AS date_to FROM (VALUES ${rows}) AS dates (f, t)`;
  }

  /** Cube's own writes one unit for each operator, but passes weeks and quarters on. */
  applyInterval(operator, date, interval) {
    return parts(interval).reduce((sum, [unit, count]) => `${sum} ${operator} interval '${count}' ${unit}`, date);
  }

  /** The same as in DuckDB's dialect: whole intervals from the origin, counted by the boundaries of their smallest unit. */
  dateBin(interval, source, origin) {
    const unit = this.diffTimeUnitForInterval(interval);
    const start = this.timeStampCast(`'${origin}'`);
    const boundaries = `date_diff('${unit}', date_trunc('${unit}', ${start}), date_trunc('${unit}', ${source}))`;
    const epoch = "TIMESTAMP '1970-01-01 00:00:00.000000'";
    const length = `date_diff('${unit}', ${epoch}, ${this.applyInterval('+', epoch, interval)})`;
    const whole = `CAST(floor(CAST(${boundaries} AS DOUBLE) / ${length}) AS BIGINT)`;
    return parts(interval).reduce((at, [each, count]) => `date_add('${each}', ${count} * ${whole}, ${at})`, start);
  }

  /** Trino's average of decimals has their scale. */
  renderSqlMeasure(name, evaluateSql, symbol, ...more) {
    const sql = super.renderSqlMeasure(name, evaluateSql, symbol, ...more);
    const [, averaged] = (symbol.type === 'avg' && /^avg\(([^]*)\)$/.exec(sql)) || [];
    return averaged && !/\) OVER\(/.test(sql) ? `avg(CAST(${averaged} AS DOUBLE))` : sql;
  }
}

module.exports = { PublishedQuery };
