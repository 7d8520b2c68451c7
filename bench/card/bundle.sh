#!/bin/sh
# Packs bench/card.ts with Node, ONNX Runtime and sharp for Linux on x64 into one archive: sh bench/card/bundle.sh card.tar.xz
# There: tar xf card.tar.xz && cd koala-card && ./node js/bench/card/card.js --device webgpu
set -eu
archive=$1 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
to=$work/koala-card
mkdir -p "$to/node_modules/@img" "$to/models/nano"
# As deep as the sources lie, since some read package.json above them.
npx esbuild bench/card.ts bench/make-model.ts src/engine/ort/worker-thread.ts --bundle --platform=node --format=esm \
  --entry-names='[name]' --outdir="$to/js/bench/card" --external:onnxruntime-node --external:sharp --log-level=warning \
  --banner:js='import { createRequire as nodeRequire } from "node:module"; const require = nodeRequire(import.meta.url);'
echo '{ "type": "module" }' > "$to/js/package.json"
cp package.json "$to/"
cp -R models/nano/tokenizer "$to/models/nano/"
for name in onnxruntime-node onnxruntime-common sharp detect-libc semver adm-zip \
  @img/colour @img/sharp-linux-x64 @img/sharp-libvips-linux-x64; do
  cp -R "node_modules/$name" "$to/node_modules/$name"
done
find "$to/node_modules/onnxruntime-node/bin" -mindepth 2 -maxdepth 2 ! -name linux -exec rm -r {} +
rm -r "$to"/node_modules/onnxruntime-node/bin/*/linux/arm64
cp "$(node -p process.execPath)" "$to/node"
tar -C "$work" -cf - koala-card | xz -T0 -3 > "$archive"
ls -l "$archive"
