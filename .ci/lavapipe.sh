# lavapipe, Mesa's Vulkan on the CPU: what WebGPU is tested on where there is no GPU. To be sourced:
#   . .ci/lavapipe.sh FOLDER
# Dawn refuses the lavapipe of Debian 12 (Mesa 22.3), so its newer packages are unpacked into FOLDER; nothing of the
# system is replaced. Elsewhere the distribution's own is installed. Sets VK_ICD_FILENAMES and LD_LIBRARY_PATH, or fails
# with apt's reason.

lavapipe_packages="mesa-vulkan-drivers=25.0.7-2~bpo12+1 libllvm19=1:19.1.7-3~deb12u1"
lavapipe_libraries="libvulkan1 libdrm2 libwayland-client0 libxcb-dri3-0 libxcb-present0 libxcb-sync1 libxcb-xfixes0
  libxcb-randr0 libx11-xcb1 libxshmfence1 libz3-4"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Unpacks Debian's packages into $1, with lists and a cache of apt of its own.
unpack_lavapipe() {
  local at=$1 key=/usr/share/keyrings/debian-archive-keyring.gpg mirror suite deb
  mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -1)
  mkdir -p "$at"/{lists/partial,cache/archives/partial,debs,root}
  for suite in bookworm-backports bookworm; do echo "deb [signed-by=$key] $mirror $suite main"; done >"$at/sources.list"
  local own=(-o Dir::Etc::sourcelist="$at/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$at/lists" -o Dir::Cache="$at/cache")
  apt-get "${own[@]}" update -qq || return
  # shellcheck disable=SC2086 # words
  (cd "$at/debs" && apt-get "${own[@]}" -qq download $lavapipe_packages) || return
  for deb in "$at"/debs/*.deb; do dpkg -x "$deb" "$at/root" || return; done
  # shellcheck disable=SC2086
  as_root apt-get install -y -qq --no-install-recommends $lavapipe_libraries >/dev/null || return
  local driver=$at/root/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so
  echo "{\"file_format_version\":\"1.0.0\",\"ICD\":{\"api_version\":\"1.4.305\",\"library_path\":\"$driver\"}}" >"$at/icd.json"
}

lavapipe() {
  local at
  at=$(realpath -m "$1")
  export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
  if grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
    [ -e "$at/icd.json" ] || unpack_lavapipe "$at" || return
    export VK_ICD_FILENAMES=$at/icd.json
    export LD_LIBRARY_PATH=$at/root/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  else
    as_root apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1 >/dev/null || return
    VK_ICD_FILENAMES=$(find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' | head -1)
    export VK_ICD_FILENAMES
  fi
}

lavapipe "${1:?give a folder}"
