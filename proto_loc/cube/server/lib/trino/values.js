'use strict';
/** Turns values as Trino sends them into those that Cube's DuckDB driver makes, so that answers are the same. */

const TIME = /^([+-]?\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(?: (UTC|Z|[+-]\d\d:\d\d))?$/;

/** Without zeros at the end of a fraction. */
const short = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

/** A date or timestamp in ISO 8601, in UTC and milliseconds, which are cut towards 1970 as DuckDB's driver does. */
function time(text) {
  const [, year, month, day, hour = '00', minute = '00', second = '00', digits = '', zone] = TIME.exec(text) || [];
  if (year === undefined) return text; // with the name of a zone, which no published column has
  const fraction = digits.padEnd(3, '0');
  if (/^(19[7-9]|2\d\d)\d$/.test(year) && !/\d/.test(zone || '')) {
    return `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.slice(0, 3)}Z`;
  }
  const at = new Date(0);
  at.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  at.setUTCHours(Number(hour), Number(minute), Number(second), Number(fraction.slice(0, 3)));
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)/.exec(zone || '') || [];
  const offset = sign ? Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes)) * 60000 : 0;
  const cut = at.getTime() - offset < 0 && /[1-9]/.test(fraction.slice(3)) ? 1 : 0;
  return new Date(at.getTime() - offset + cut).toISOString();
}

const BY_TYPE = {
  tinyint: String,
  smallint: String,
  integer: String,
  bigint: String,
  real: (value) => String(typeof value === 'number' ? Math.fround(value) : value),
  double: String, // NaN and Infinity come as texts
  decimal: short,
  date: time,
  timestamp: time,
  'timestamp with time zone': time,
  time: short,
  varbinary: (value) => Buffer.from(value, 'base64'),
};

/** The converters of nested types, given those of their parts. */
const NESTED = {
  array: ([item]) => (value) => value.map(item),
  map: ([key, item]) => (value) => Object.entries(value).map(([name, held]) => ({ key: key(name), value: item(held) })),
  row: (fields, names) => (value) => Object.fromEntries(value.map((held, at) => [names[at], fields[at](held)])),
};

const orNull = (convert) => (value) => (value === null ? null : convert(value));

/**
 * Make the function that converts the values of a type.
 *
 * @param {{rawType: string, arguments: {kind: string, value: any}[]}} signature As Trino sends it with a column.
 * @returns {(value: unknown) => unknown}
 */
function converter({ rawType, arguments: parts = [] }) {
  const nested = NESTED[rawType];
  if (!nested) return BY_TYPE[rawType] ? orNull(BY_TYPE[rawType]) : (value) => value;
  const types = parts.map(({ value }) => converter(value.typeSignature || value));
  return orNull(nested(types, parts.map(({ value }) => value.fieldName?.name)));
}

/** Parse JSON; a whole number that JavaScript would round stays text. */
const parse = (text) => JSON.parse(text, (key, value, { source } = {}) => (
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? source : value));

module.exports = { converter, parse };
