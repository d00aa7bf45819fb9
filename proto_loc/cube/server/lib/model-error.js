'use strict';
/** Finds the file and line of an error of Cube's compiler, which names the cube or the member, but seldom the file. */
const vm = require('vm');
const { LineCounter, parseDocument, isMap, isScalar, isSeq, visit } = require('yaml');

const MEMBERS = /\b(dimensions|measures|segments|joins|hierarchies|preAggregations|folders)\.(\w+)/;

/** @typedef {{fileName: string, content: string}} ModelFile */

/**
 * Write an error with one line per part, each with its file and line.
 *
 * @param {Error} error
 * @param {ModelFile[]} files
 * @param {string[]} changed The files that changed since the last good model; named if the place is unknown.
 * @returns {string}
 */
function locate(error, files, changed) {
  const unparsed = files.flatMap((file) => syntax(file, error));
  if (unparsed.length) return unparsed.join('\n');
  const parts = sentences(error);
  return parts.map(({ file, text }) => {
    const among = files.filter(({ fileName }) => !file || fileName === file);
    const place = positionOf(text, among) || file || changed.join(', ');
    return place ? `${place}: ${text}` : text;
  }).join('\n');
}

/** The syntax error of a file, if any; with the line of Cube's own parser if it reports one. */
function syntax({ fileName, content }, error) {
  if (fileName.endsWith('.js')) {
    try {
      new vm.Script(content, { filename: fileName });
      return [];
    } catch (error) {
      return [`${fileName}:${/:(\d+)/.exec(error.stack)?.[1] ?? 1}: ${error.message}`];
    }
  }
  if (!/\.ya?ml$/.test(fileName)) return [];
  return parseDocument(content).errors.slice(0, 1).map((found) => (
    `${fileName}:${/\((\d+):\d+\)/.exec(error.message)?.[1] ?? found.linePos?.[0].line ?? 1}: ${found.message.split('\n')[0].replace(/ at line .*/, '')}`
  ));
}

/** Split a compiler's message into its parts, with the file of each part that names one. */
function sentences(error) {
  const found = [];
  let file;
  for (const raw of String(error.message || error).split('\n')) {
    const line = raw.trim();
    const heading = /^(?:(\S+) )?Errors:$/.exec(line);
    if (heading) file = heading[1];
    else if (/^\*|^Possible reasons/.test(line) && found.length) found.at(-1).text += ` ${line}`;
    else if (line && line !== 'Compile errors:') found.push({ file, text: line });
  }
  return found;
}

/** The place of a message's fault, as `file:line`; undefined if it is unknown. */
function positionOf(text, files) {
  const [, cube] = /^(\w+) cube: /.exec(text) || [];
  const [, kind, member] = MEMBERS.exec(text) || [];
  const named = cube && findCube(files, cube, kind, member, text);
  if (named) return named;
  if (/Jinja/.test(text)) return lineWith(files, /\{\{|\{%/);
  if (/parse Python/.test(text)) return lineWith(files, { test: (line) => line.split('{').length !== line.split('}').length });
  const words = [/^(\w+) is not defined/, /'(\w+)'/, /key: (\w+)/, /(?:Cube|View|Member) (\w+)/i].map((form) => form.exec(text)?.[1]);
  for (const word of words.filter(Boolean)) {
    const at = lineWith(files, new RegExp(`\\b${word}\\b`));
    if (at) return at;
  }
  return undefined;
}

function lineWith(files, form) {
  for (const { fileName, content } of files) {
    const at = content.split('\n').findLastIndex((line) => form.test(line));
    if (at >= 0) return `${fileName}:${at + 1}`;
  }
  return undefined;
}

/** The line of the cube, view, member or key that a message names. */
function findCube(files, cube, kind, member, text) {
  for (const { fileName, content } of files.filter((file) => /\.ya?ml$/.test(file.fileName))) {
    const lines = new LineCounter();
    const document = parseDocument(content, { lineCounter: lines });
    const line = (node) => `${fileName}:${lines.linePos(node.range[0]).line}`;
    for (const list of ['cubes', 'views'].map((name) => document.get(name)).filter(isSeq)) {
      const found = list.items.find((item) => isMap(item) && item.get('name') === cube);
      if (!found) continue;
      const snake = kind?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      const members = kind && found.get(snake);
      const one = isSeq(members) && members.items.find((item) => isMap(item) && item.get('name') === member);
      return line(keyOf(one || found, text) || one || found);
    }
  }
  return undefined;
}

/** The key of this map that a message reports as not allowed or as having a wrong value. */
function keyOf(map, text) {
  let found;
  visit(map, {
    Pair(_, pair) {
      const name = isScalar(pair.key) ? String(pair.key.value) : '';
      const camel = name.replace(/_(\w)/g, (__, letter) => letter.toUpperCase());
      if (!found && name && name !== 'name' && new RegExp(`[".(]${camel}(?:"| =|\\))`).test(text) && !/is required/.test(text)) {
        found = pair.key;
      }
      return isSeq(pair.value) ? visit.SKIP : undefined;
    },
  });
  return found;
}

module.exports = { locate };
