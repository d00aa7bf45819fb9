'use strict';
/** The probes `/livez` and `/readyz`, which need no token. They say which Cube runs. */

/** The compiled model, current or last good; null if there is none, and `core.model.problem` has the reason. */
async function compiled(core) {
  return core.getCompilerApi({}).then((api) => api.getCompilers()).catch(() => null);
}

/**
 * @param {import('./core').Core} core
 * @param {{ native: string, cube: string }} running the native part, and Cube's version
 */
function probes(core, running) {
  return {
    live: (req, res) => res.json({ status: 'alive', ...running }),
    /**
     * 200 also without data, because readers start before the first load. 503 only if no query can be answered: no model
     * has compiled, or the published version cannot be read, or Trino does not answer. A server with the last good model stays
     * ready, because a restart would lose that model; its status says so (`loc status` shows it).
     */
    ready: async (req, res) => {
      const found = { ...running };
      const compilers = await compiled(core);
      if (core.model?.problem) found.model = { error: core.model.problem, serving: compilers ? 'the last good model' : 'no model' };
      try {
        const version = core.versions.current();
        const empty = !version || version.empty;
        found.version = empty ? null : version.id;
        found.published_at = empty ? null : version.publishedAt;
        const trouble = empty ? null : await core.versions.engine.trouble(core.settings);
        if (trouble) found.error = trouble;
        res.status(compilers && !trouble ? 200 : 503);
        const [, status] = [
          [!compilers, 'no model'], [trouble, 'the engine does not answer'], [found.model, 'an old model'], [empty, 'no data yet'],
        ].find(([is]) => is) || [true, 'ready'];
        res.json({ status, ...found });
      } catch (error) {
        res.status(503).json({ status: 'the published version cannot be read', error: error.message, ...found });
      }
    },
  };
}

module.exports = { compiled, probes };
