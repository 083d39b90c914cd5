#!/bin/sh
zrecipe go -n -r scan -s file=a.h5 -s cell=unknown
