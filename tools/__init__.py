"""Programs for people who work on Retinue: releases, commit subjects, prose."""
