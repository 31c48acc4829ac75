# The third layer: deletions and changes of type over the second.
rm -r /srv/opaque && mkdir /srv/opaque && echo new >/srv/opaque/new
rm -r /srv/gone
rm -r /srv/dir-to-file && echo now >/srv/dir-to-file
rm -r /srv/dir-to-link && ln -s kinds /srv/dir-to-link
rm /srv/file-to-dir && mkdir /srv/file-to-dir && echo in >/srv/file-to-dir/inside
rm /srv/link-to-dir && mkdir /srv/link-to-dir
chmod 755 /srv/changed
rm /etc/motd
rm -r /usr/share/doc/apt
mkdir /usr/share/doc/apt && echo short >/usr/share/doc/apt/copyright
rm /srv/kinds/hard-link
touch /srv
