# One image for `koala serve`, `koala worker` and every other command. Needs npm's registry while it is built, no more.
FROM node:22-bookworm-slim AS build
# Everything that runs on a CPU is in ONNX Runtime's package; its install script would fetch CUDA.
ENV ONNXRUNTIME_NODE_INSTALL=skip
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
# What npm's users get, with the dependencies that the lockfile names; without ONNX Runtime for other systems.
RUN npm run build \
 && npm prune --omit=dev --ignore-scripts \
 && tar -xzf "$(npm pack --silent --ignore-scripts)" \
 && mv node_modules package/ \
 && rm -rf package/node_modules/onnxruntime-node/bin/*/darwin package/node_modules/onnxruntime-node/bin/*/win32

FROM node:22-bookworm-slim
ENV NODE_ENV=production HF_HOME=/cache
COPY --from=build /build/package /koala
RUN ln -s /koala/dist/cli/main.js /usr/local/bin/koala \
 && chmod +x /koala/dist/cli/main.js \
 && mkdir /cache && chown node:node /cache
USER node
WORKDIR /home/node
ENTRYPOINT ["koala"]
CMD ["--help"]
