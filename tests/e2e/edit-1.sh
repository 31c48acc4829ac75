# The second layer of the buildah image: what is rare in a plain system.
mkdir -p /srv/kinds /srv/opaque/sub /srv/gone/deep /srv/dir-to-file /srv/dir-to-link/x
cd /srv/kinds
echo data >file
ln file hard-link
ln -s file link
ln -s /nowhere/at/all dangling
mkfifo fifo
cp /bin/true setuid && chmod 6755 setuid
cp /bin/true capable
echo text >"name with spaces and $(printf 'a\nnewline')"
echo text >"$(printf 'not-utf8-\377\376')"
echo text >"ünïcödé-日本語"
long=$(printf 'n%.0s' $(seq 1 255))
echo text >"$long"
deep=/srv/deep
for i in 1 2 3 4 5 6; do deep=$deep/$(printf 'd%.0s' $(seq 1 60)); done
mkdir -p "$deep" && echo deep >"$deep/file"
truncate -s 8M sparse && printf end >>sparse
: >old && touch -d '1975-01-02 03:04:05.678901234 UTC' old
chown 1234:4321 file && chmod 640 file
mkdir sticky && chmod 1777 sticky
mkdir closed && chmod 0 closed
: >acl
echo one >/srv/opaque/one && echo two >/srv/opaque/sub/two
echo gone >/srv/gone/deep/file
echo was >/srv/file-to-dir
echo was >/srv/dir-to-file/inside
ln -s file-to-dir /srv/link-to-dir
echo keep >/srv/changed && chmod 600 /srv/changed
