#!/bin/sh
# Fetches what the tests need beside Python, into the machine (Debian packages, as root) and into .cache/ (jars from
# Maven Central, through Maven). Prints what cannot be had and why; never fails for it, because tests that miss a tool
# are skipped and say so (or fail, where DLV_TEST_REQUIRE=all). Idempotent, and quick where all is there.
#
#   deploy/test-tools.sh [browser] [java] [containers] [servers]      nothing named: all of them
#
# What it leaves: chromium, java, mvn, buildah, debootstrap and mariadbd on the path,
#   .cache/neo4j-5.26.28/lib/*.jar    a real Neo4j Community, only run beside the tests
#   .cache/neo4j-2026.09.0/lib/*.jar  the same on its 2026 line, where a Java of 21 or newer is found
#   .cache/kafka-4.3.1/*.jar          a real Kafka broker and Kafka Connect with its file connectors
#   .cache/openlineage-spark/*.jar    the OpenLineage listener for Spark and the PostgreSQL driver
#   .cache/base-image/                a stand-in for the Dockerfile's base image
set -u
cd "$(dirname "$0")/.." || exit 1

cache=$PWD/.cache
neo4j_lts=5.26.28
neo4j_new=2026.09.0
kafka=4.3.1   # of 4.4.0 Maven Central has the broker and not all of Connect
slf4j=1.7.36  # without a binding the broker writes no log, so that nothing says it is ready
openlineage=1.53.0 # the newest that its own tests pair with Spark 3.5
scala=2.12
pgjdbc=42.7.8
maven_copy=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies

wanted=${*:-browser java containers servers}
mkdir -p "$cache"

has() { command -v "$1" >/dev/null 2>&1; }
wants() { case " $wanted " in *" $1 "*) ;; *) return 1 ;; esac; }
missing() { echo "test-tools: no $1: $2" >&2; }

# ---- one at a time: two test runs in one checkout may both come here
if has flock; then
  exec 9>"$cache/test-tools.lock"
  flock 9
fi

# ---- Debian packages, all in one go
packages=
needs() { has "$1" || { shift; packages="$packages $*"; }; }
if wants browser; then
  has chromium-browser || has google-chrome || needs chromium chromium fonts-dejavu-core
fi
if wants java; then
  needs java default-jre-headless
  needs mvn maven
fi
if wants containers; then
  needs buildah buildah
  needs debootstrap debootstrap
fi
if wants servers; then
  [ -x /usr/sbin/mariadbd ] || needs mariadbd mariadb-server-core # no service is started: the tests start their own
fi
if [ -n "$packages" ]; then
  if [ "$(id -u)" != 0 ]; then
    missing "$(echo $packages)" "only root may install Debian packages (apt install$packages)"
  elif ! has apt-get; then
    missing "$(echo $packages)" "this is no Debian; install them by hand"
  else
    echo "test-tools: fetching$packages"
    apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages >"$cache/apt.log" 2>&1 </dev/null \
      || missing "$(echo $packages)" "apt-get failed: $(grep -E '^E:' "$cache/apt.log" | head -n 1) (all of it in .cache/apt.log)"
  fi
fi

# ---- jars
java_version() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; }

# fetch FOLDER POM-TEXT: all of the pom's dependencies into the folder; whole or not at all
fetch() {
  folder=$1 pom=$2
  [ -d "$folder" ] && return 0
  rm -rf "$folder.new" && mkdir -p "$folder.new"
  printf '%s\n' "$pom" >"$folder.new/pom.xml"
  if mvn -q -B -f "$folder.new/pom.xml" "$maven_copy" -DoutputDirectory="$folder.new/${3:-.}" >"$cache/maven.log" 2>&1 </dev/null; then
    mv "$folder.new" "$folder"
    echo "test-tools: fetched ${folder#"$PWD"/}"
  else
    rm -rf "$folder.new"
    missing "${folder##*/}" "Maven failed: $(grep -m 1 ERROR "$cache/maven.log") (all of it in .cache/maven.log)"
  fi
}

dependency() { printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version>%s</dependency>' "$@"; }

pom() {
  printf '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>dlv.test</groupId><artifactId>fetch</artifactId><version>1</version><packaging>pom</packaging><dependencies>%s</dependencies></project>' "$1"
}

neo4j() {
  fetch "$cache/neo4j-$1" \
    "$(pom "$(dependency org.neo4j.app neo4j-server "$1" '')$(dependency org.neo4j neo4j "$1" '')")" lib
}

if wants java && has java; then
  if has mvn; then
    neo4j $neo4j_lts
    if [ "$(java_version)" -ge 21 ] 2>/dev/null || ls /usr/lib/jvm/*-2[1-9]* >/dev/null 2>&1; then
      neo4j $neo4j_new
    fi
    fetch "$cache/kafka-$kafka" \
      "$(pom "$(dependency org.apache.kafka kafka_2.13 $kafka '')$(dependency org.apache.kafka connect-runtime $kafka '')$(dependency org.apache.kafka connect-file $kafka '')$(dependency org.slf4j slf4j-simple $slf4j '')")"
    # the listener's jar is shaded and needs nothing else
    alone='<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>'
    fetch "$cache/openlineage-spark" \
      "$(pom "$(dependency io.openlineage "openlineage-spark_$scala" $openlineage "$alone")$(dependency org.postgresql postgresql $pgjdbc "$alone")")"
  fi
fi

# ---- a stand-in for docker.io/library/python:3.11-slim-bookworm: Debian 12 with its own Python 3.11. Registries of
# images are out of reach on most build machines; the Dockerfile builds on either.
if wants containers && has debootstrap && [ ! -d "$cache/base-image" ]; then
  if [ "$(id -u)" != 0 ]; then
    missing "base image" "debootstrap needs root"
  else
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null \
      | grep -v '^#' | grep -Eo 'https?://[^ ]+/debian/?( |$)' | head -n 1)
    echo "test-tools: making a base image of Debian 12"
    rm -rf "$cache/base-image.new"
    if debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
      bookworm "$cache/base-image.new" ${mirror:+"$mirror"} >"$cache/debootstrap.log" 2>&1 </dev/null; then
      ln -sf /usr/bin/python3 "$cache/base-image.new/usr/local/bin/python3"
      ln -sf /usr/bin/python3 "$cache/base-image.new/usr/local/bin/python"
      rm -rf "$cache/base-image.new/var/cache/apt/archives" "$cache/base-image.new/var/lib/apt/lists"
      mv "$cache/base-image.new" "$cache/base-image"
    else
      missing "base image" "debootstrap failed: $(tail -n 1 "$cache/debootstrap.log") (all of it in .cache/debootstrap.log)"
    fi
  fi
fi
exit 0
