DROP FUNCTION record_runs(
    uuid[], text[], text[], text[], text[], text[], boolean[], text[], text[], text[],
    timestamptz[], double precision[], int[], numeric[], numeric[], jsonb[], numeric[],
    int[], int[], text[], text[], double precision[], double precision[], double precision[],
    double precision[], double precision[], jsonb[], int[], date[], text[], numeric[], numeric[]
);
DROP FUNCTION record_images(
    int[], boolean[], uuid[], text[], text[], text[], boolean[], text[], bigint[], int[], int[],
    timestamptz[], text[], text[], text[], text[], text[], timestamptz[]
);
DROP FUNCTION judge_images(uuid[], text[], text[]);
