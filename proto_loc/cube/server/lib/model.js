'use strict';
/** The data model: compiled again when a file of it changes, and the last one that compiled is served meanwhile. */
const fs = require('fs');
const path = require('path');
const { CompilerApi } = require('@cubejs-backend/server-core/dist/src/core/CompilerApi.js');
const { isFallbackBuild } = require('@cubejs-backend/native');
const { locate } = require('./model-error');

const FILES = /\.(js|ya?ml|jinja|py)$/;

/** The files of a folder, by their path in it. */
function files(folder) {
  return fs.readdirSync(folder, { recursive: true }).filter((name) => FILES.test(name)).sort();
}

function read(folder) {
  return files(folder).map((fileName) => ({ fileName, content: fs.readFileSync(path.join(folder, fileName), 'utf8') }));
}

/** What Cube calls a repository: where the compiler gets the files from. */
function repository(folder) {
  return { localPath: () => folder, dataSchemaFiles: async () => read(folder) };
}

class LastGoodModel extends CompilerApi {
  /** @param {string} folder Where the model's files are. */
  constructor(repository, dbType, options, folder) {
    super(repository, dbType, options);
    this.folder = folder;
    this.tried = null;
    /** @type {Promise<void>} */
    this.attempt = Promise.resolve();
    this.good = null;
    /** @type {string | null} What is wrong with the files as they are now, with file and line. */
    this.problem = null;
  }

  /** Changes with any change of the files; costs one system call a file. */
  state() {
    return files(this.folder).map((name) => {
      const { mtimeMs, size, ino } = fs.statSync(path.join(this.folder, name), { throwIfNoEntry: false }) || {};
      return `${name} ${ino} ${mtimeMs} ${size}`;
    }).join('\n');
  }

  async getCompilers() {
    const state = this.state();
    if (state !== this.tried) {
      this.tried = state;
      this.attempt = this.#compile(state);
    }
    await this.attempt;
    if (!this.good) throw new Error(this.problem);
    return this.good;
  }

  async #compile(state) {
    try {
      const python = state.split('\n').find((line) => /\.py /.test(line));
      if (python && isFallbackBuild()) await this.nativeInstance.getNative().pythonLoadModel(python); // which says why not
      const compilers = await this.compileSchema(state);
      if (state !== this.tried) return; // changed again meanwhile: the later attempt decides
      this.good = compilers;
      this.compilers = Promise.resolve(compilers);
      this.graphqlSchema = undefined;
      this.problem = null;
      this.goodState = state;
    } catch (error) {
      this.problem = this.#located(error, state);
      this.logger('Model error', { error: this.problem, serving: this.good ? 'the last good model' : 'no model' });
    }
  }

  #located(error, state) {
    try {
      const before = new Set((this.goodState || '').split('\n'));
      const changed = state.split('\n').filter((line) => line && !before.has(line)).map((line) => line.split(' ')[0]);
      return locate(error, read(this.folder), changed);
    } catch {
      return String(error.message || error); // a file went away meanwhile
    }
  }
}

module.exports = { LastGoodModel, repository };
