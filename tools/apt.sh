# What apt knows about the distribution's archive, for scripts that source this file.
# Reads apt's configuration only; LAYERFS_APT_ETC stands for /etc/apt in tests.
# shellcheck shell=bash

# "URI KEYRING" of each archive that apt uses for the distribution's main component, in order.
# Reads deb822 .sources and one-line .list files; KEYRING is "-" where none is named.
archives() {
  local etc=${LAYERFS_APT_ETC:-/etc/apt} file
  for file in "$etc"/sources.list.d/*.sources; do
    [[ -r $file ]] && awk -v RS= -F'\n' '
      {
        uri = ""; key = "-"; main = 0; deb = 0; off = 0
        for (i = 1; i <= NF; i++) {
          if ($i ~ /^[#]/) continue
          split($i, part, /:[ \t]*/); name = tolower(part[1])
          value = $i; sub(/^[^:]*:[ \t]*/, "", value)
          if (name == "uris") { split(value, word, /[ \t]+/); uri = word[1] }
          if (name == "types" && value ~ /deb/) deb = 1
          if (name == "components" && value ~ /(^| )main( |$)/) main = 1
          if (name == "signed-by" && value ~ /^\//) key = value
          if (name == "enabled" && tolower(value) ~ /^(no|false|0|off)/) off = 1
        }
        if (uri != "" && deb && main && !off) print uri, key
      }' "$file"
  done
  for file in "$etc"/sources.list "$etc"/sources.list.d/*.list; do
    [[ -r $file ]] && awk '
      /^[ \t]*deb(-src)?[ \t]/ {
        line = $0; sub(/#.*/, "", line); key = "-"
        if (match(line, /\[[^]]*\]/)) {
          options = substr(line, RSTART + 1, RLENGTH - 2)
          line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
          if (match(options, /signed-by=[^ ,]+/)) key = substr(options, RSTART + 10, RLENGTH - 10)
        }
        n = split(line, word, /[ \t]+/); first = (word[1] == "") ? 2 : 1
        for (i = first + 3; i <= n; i++) if (word[i] == "main") { print word[first + 1], key; break }
      }' "$file"
  done
  return 0
}

# "URI KEYRING" of the first archive of the distribution $1 proper, not its security updates or
# another vendor's packages. Nothing if apt has none.
distribution_archive() {
  archives | awk -v id="$1" '
    $1 ~ /security/ { next }
    tolower($1) ~ ("/" id "/?$") || tolower($1) ~ ("/" id "[-_/]") {
      if ($2 == "-") $2 = "/usr/share/keyrings/" id "-archive-keyring.gpg"
      print; exit
    }'
}

# The field $1 of os-release, empty if it has none.
os_release() {
  # shellcheck disable=SC1091
  (. /etc/os-release && echo "${!1:-}")
}
