// Writes cases.json: what the npm package `dotenv` 16 makes of files written by hand and by chance.
//
//   npm install --no-save dotenv@16.6.1 && node generate.mjs [how many by chance] > cases.json

import { createRequire } from 'node:module';

const dotenv = createRequire(import.meta.url)('dotenv');

const byHand = [
  '', '\n\n', 'A=1', 'A=1\n', 'A=', 'A=\nB=2', 'A =1', 'A= 1 ', ' A=1', '\tA\t=\t1\t', 'A:1', 'A: 1', 'A:\n1', 'A:', 'A : 1',
  'export A=1', 'export  A = 1', 'export\nA=1', 'export=1', 'export: 1', 'export A', 'exportA=1', 'export export A=1',
  'TIDINGS_API_KEYS=$upersecretsupersecret', 'A=$B', 'B=1\nA=${B}x', 'A="$B"', "A='$B'", 'A=\\$B', 'A=a$', 'A=$$',
  "A='one'", 'A="one"', 'A=`one`', "A='a\"b`c'", 'A="a\'b`c"', 'A=`a\'b"c`', "A=' one '", 'A=" one "', 'A=` one `', "A=''", 'A=""', 'A=``',
  'A="a\\nb"', "A='a\\nb'", 'A=`a\\nb`', 'A=a\\nb', 'A="a\\rb"', 'A="a\\tb"', 'A="a\\\\nb"', 'A="a\\\\b"', 'A="a\\r\\nb"',
  'A="a\nb"', "A='a\nb\nc'\nB=2", 'A=`a\nb`', 'A="a\r\nb"\r\nB=2\r\n', 'A=1\rB=2\r', 'A="-----BEGIN\nxyz=\n-----END"\nB=2',
  "A='it\\'s'", 'A="say \\"hi\\""', 'A=`a\\`b`', "A='a\\'", 'A="a\\"', "A='a\\\\'", "A='a\\' # c\nB='2'",
  "A='open", 'A="open', 'A=`open', 'A="open\nB=2', "A='open\nB='2'", 'A="open\\n', "A=it's", 'A=say "hi"', 'A="a" b', "A='a' 'b'", 'A="a"b"',
  '#A=1', '# A=1\nB=2', 'A=1 # one', 'A=1#one', 'A=#one', 'A= # one', "A='1 # 2'", 'A="1#2" # three', "A='1'#2", "A='1' # it's", 'A=#\nB=2', 'A=\n# c\nB=2',
  'A=1\n\n# c', "A='1'\n\n  # c\nB=2", '\ufeffA=1', '\ufeff# c\nA=1', '\ufeff\nexport A=1', 'A=\ufeff1\ufeff', 'A=\u00a01\u00a0', 'A=\u00851\u0085', '\u0085A=1', 'A=\u30001',
  'A=1\u2028B=2', 'x\u2028B=2', "A='1'\u2028B=2", "A=a\u2028'b'", 'A=1\u2029', '# c\u2028B=2', 'A="a\u2028"b"',
  'A B=1', 'A', 'A\n=1', 'A\n\n = 1', '=1', ': 1', '- A=1', 'set A=1', 'A.B=1', 'A-B=1', '1A=1', 'Ä=1', 'A=é', 'A=😀', 'A/B=1', '"A"=1', 'A==1', 'A=b=c', 'A="b"=c',
  'A=1\nA=2', 'A=1\nA=', 'A=\n\'x\'', 'A=\n\n"x"\nB=2', 'A=\n`x`', 'A:  \'x\'', 'A: "x" # y', 'A=1;', 'A=1,2', 'A={"a": "b"}', "A={'a': 1}", 'A="{\\"a\\": 1}"',
  'MONGODB_URI=mongodb://u:p#1@h/d', 'MONGODB_URI="mongodb://u:p#1@h/d?a=b&c=d"', 'A=http://x/y?z#w', 'A=a\\', 'A=\\', 'A="\\', 'A=\'\\', "A='\\''", 'A="\\""', 'A="\\"\n"',
  'A= "x"y', "A='a\nb", "A='a'\n'b'", 'A="a"\n"b"', "A='\n'", 'A="\n"x', "''", '""', "A='a'\t\u000b\f", 'A=\u000b1\f', "A='x' '\n'", "A='x' #'\nB='y'", 'A=x\' # \'', "A='a#b", 'A=`a#b',
];

const parts = [
  'A', 'B', 'PORT', 'export', 'export ', '=', '=', '=', ':', ': ', ' ', ' ', '\t', '\n', '\n', '\n', '\r\n', '\r', "'", "'", '"', '"', '`', '\\', '\\n', '\\r', '#', '# ',
  'x', '$x', '${A}', '1', '.', '-', '_', '\ufeff', '\u2028', '\u0085', '\u00a0', '\v', 'é', '😀', 'A=', 'B="', "A='", 'B=`', '"\n', "'\n", "\\'", '\\"',
];

/** A small generator with a seed, so that the same command writes the same file. */
let state = 20_251_125;
function below(bound) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
}

const byChance = Array.from({ length: Number(process.argv[2] ?? 600) }, () =>
  Array.from({ length: 1 + below(24) }, () => parts[below(parts.length)]).join(''));

const cases = [...byHand, ...byChance].map((source) => ({ source, values: dotenv.parse(source) }));
process.stdout.write(`[\n${cases.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`);
