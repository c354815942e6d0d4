#!/bin/sh
# build.sh: fetches the Debian source package of the installed PostgreSQL 15 and
# builds its client-side test tools in .cache/suites (about 3 minutes, once).
# Prints the source folder. Nothing outside .cache changes: the package lists
# are private copies, so that /etc/apt needs no deb-src lines.
set -eu
cd "$(dirname "$0")/.."
cache=$PWD/.cache/suites
apt=$cache/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/parts"

# The server is one and the same for every suite, so its sources must be too:
# expected results differ between minor releases.
installed=$(dpkg-query -W -f '${Version}' postgresql-15)

fetch() {
	rm -f "$apt"/parts/*
	: >"$apt/sources.list"
	for f in /etc/apt/sources.list.d/*.sources; do
		# Other vendors' lists rarely have sources, and a failing list fails all.
		[ -f "$f" ] && grep -q debian.org "$f" && sed 's/^Types:.*/Types: deb-src/' "$f" >"$apt/parts/$(basename "$f")"
	done
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -f "$f" ] && sed -nE '/debian\.org/s/^deb /deb-src /p' "$f" >>"$apt/sources.list"
	done
	options="-o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=$apt/parts
		-o Dir::State::lists=$apt/lists -o Dir::Cache=$apt -o APT::Sandbox::User=root"
	# shellcheck disable=SC2086 # the options are words
	{
		apt-get $options -qq update
		cd "$cache"
		apt-get $options -qq source "postgresql-15=$installed" || {
			echo "build.sh: no sources for $installed, taking the newest 15" >&2
			apt-get $options -qq source postgresql-15
		}
	} >&2
}

source_folder() { find "$cache/" -maxdepth 1 -type d -name 'postgresql-15-15.*' | sort -V | tail -n 1; }

[ -n "$(source_folder)" ] || (fetch)
src=$(source_folder)
[ -n "$src" ] || {
	echo "build.sh: no sources of PostgreSQL 15 in $cache" >&2
	exit 1
}
cd "$src"
if [ ! -f .sluice-built ]; then
	{
		[ -f config.status ] || ./configure --quiet --prefix=/usr/lib/postgresql/15 --with-openssl --with-libxml --with-icu --with-system-tzdata=/usr/share/zoneinfo
		make -s -j2 -C src/backend generated-headers
		for part in src/test/regress src/test/isolation src/test/modules/libpq_pipeline; do
			make -s -j2 -C $part all
		done
	} >build.log 2>&1 || {
		tail -n 20 build.log >&2
		exit 1
	}
	# The suites run as the server's account, which must read all of this.
	chmod -R a+rX .
	touch .sluice-built
fi
echo "$src"
