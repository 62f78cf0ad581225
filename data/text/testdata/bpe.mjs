// Prints texts, and their tokens by another implementation of the tokenizers in
// bpe.json.
import fs from 'node:fs'
import { TokenizerLoader } from '@lenml/tokenizers'

const texts = [
  '', 'the student', " the teacher's answers", "it isn't; they're, I've, she'll, I'd, I'm", "IT ISN'T THEY'RE",
  'the whole of the answer is whole', '  two  spaces   three', 'tab\t\tend \t', 'a\n\nb\r\n\r\n  c \n \n', '   ',
  '100 + 1000 = 1100, 99999999 - 1', '3.14159 1,000', 'für den Schüler à l’école', 'cafe\u0301 caf\u00e9', '\u1e9b\u0323 \u212b',
  '学生学习。学生', '🙂👩‍👧 x', '<|end|>', 'a<|end|>b<|end|>>c<|start|>', '<|en<think>d|></think>', '\u00a0the\u2003the\u3000the\u0085',
  '½ ² Ⅷ ١٢٣', 'ththththethethe', 'f(x) { return x**2; } // !!!', 'nnnnnnnnnnnnnnn', 'don\'t"\'s\' \'the', '\ufeffthe\u200bthe',
]
const out = { texts }
const files = JSON.parse(fs.readFileSync('bpe.json'))
for (const name of ['gpt2', 'llama3', 'qwen3']) {
  const tokenizerJSON = files[name]
  const tokenizerConfig = { tokenizer_class: name === 'gpt2' ? 'GPT2Tokenizer' : 'PreTrainedTokenizer', clean_up_tokenization_spaces: false }
  const t = TokenizerLoader.fromPreTrained({ tokenizerJSON, tokenizerConfig })
  out[name] = texts.map((text) => t.encode(text, { add_special_tokens: false }))
}
console.log(JSON.stringify(out))
