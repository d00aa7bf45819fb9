'use strict';
/** `/livez` and `/readyz`: for anyone on this machine, no token, no work. */

/**
 * @param {import('./core').Core} core
 * @param {string} native
 */
function probes(core, native) {
  return {
    live: (req, res) => res.json({ status: 'alive', native }),
    /**
     * 200 also where there is no data yet: readers start before the first load. 503 only where no query could be
     * answered whatever the data are: no model has compiled, or the published version cannot be read.
     */
    ready: async (req, res) => {
      const found = { native };
      const compilers = await core.getCompilerApi({}).then((api) => api.getCompilers()).catch(() => null);
      if (core.model?.problem) found.model = { error: core.model.problem, serving: compilers ? 'the last good model' : 'no model' };
      try {
        const version = core.versions.current();
        const empty = !version || version.empty;
        found.version = empty ? null : version.id;
        found.published_at = empty ? null : version.publishedAt;
        res.status(compilers ? 200 : 503);
        res.json({ status: !compilers ? 'no model' : empty ? 'no data yet' : 'ready', ...found });
      } catch (error) {
        res.status(503).json({ status: 'the published version cannot be read', error: error.message, ...found });
      }
    },
  };
}

module.exports = { probes };
