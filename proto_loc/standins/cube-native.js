'use strict';
/**
 * A stand-in for Cube's native addon, `@cubejs-backend/native`.
 *
 * Why: the addon is a download from GitHub and no npm package, so it cannot be had behind a mirror of registries.
 * It shapes answers as the addon does. Limits: no SQL API, no models in Jinja or Python, no native planner, no Cube
 * Store; each is refused with the reason.
 */
const { getFinalQueryResult, getFinalQueryResultMulti } = require('../cube/server/lib/results');

const WHY = "Cube's native addon is not installed, and its stand-in cannot do that (docs/cube.md)";

class NotWithoutAddon extends Error {}

function refusal(what, instead) {
  return new NotWithoutAddon(`${what} is not available: ${WHY}.${instead ? ` ${instead}` : ''}`);
}
const refused = (what, instead) => () => { throw refusal(what, instead); };
const rejected = (what, instead) => async () => { throw refusal(what, instead); };

const SQL_API = 'Ask by REST or GraphQL.';
const NO_SQL_API = refusal('The SQL API', SQL_API).message;
const JINJA = 'Write the model in plain YAML, without {{ }} and {% %}.';

module.exports = {
  NO_SQL_API,
  getFinalQueryResult,
  getFinalQueryResultMulti,
  isFallbackBuild: () => true,
  setupLogger: () => {},
  resetLogger: () => {},
  redactSqlLiterals: (sql) => String(sql).replace(/'(?:[^']|'')*'/g, "'...'"),
  shutdownInterface: async () => {},
  newJinjaEngine: () => ({
    loadTemplate: refused('A Jinja template in the model', JINJA),
    renderTemplate: rejected('A Jinja template in the model', JINJA),
  }),
  registerInterface: rejected('The SQL API', SQL_API),
  execSql: rejected('The SQL API', SQL_API),
  sql4sql: rejected('The SQL API', SQL_API),
  rest4sql: rejected('The SQL API', SQL_API),
  buildSqlAndParams: refused('The native query planner', 'Leave CUBEJS_TESSERACT_SQL_PLANNER off.'),
  parseCubestoreResultMessage: rejected('Cube Store'),
  getCubestoreResult: refused('Cube Store'),
  transpileJs: rejected('Native transpilation'),
  transpileYaml: rejected('Native transpilation'),
  pythonLoadConfig: rejected('Configuration in Python'),
  pythonLoadModel: rejected('A model in Python', 'Write it in YAML.'),
};
